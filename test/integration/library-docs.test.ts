/** The code of docs/library.md, type-checked against the package's types and run in order, on the tiny network. */

import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT, SAMPLES, TINY } from '../support/paths.js';
import { typeCheck } from '../support/type-check.js';

const text = readFileSync(path.join(ROOT, 'docs', 'library.md'), 'utf8');
const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code ?? '');

/** Options added to the document's code: a network that learns in seconds and runs on any machine. */
const SETTINGS = "artifacts: 'tiny', weights: 'random', device: 'cpu', workers: 1, ";
const REPLACED: readonly (readonly [RegExp, string])[] = [
  [/(train|findLr)\(\{/g, `$1({ ${SETTINGS}`],
  [/epochs: 10/g, 'epochs: 2'],
  [/predict\(\{ model: file/g, "predict({ artifacts: 'tiny', model: file"],
  [/bundledArtifacts\('resnet18'\)/g, "process.env.TINY ?? bundledArtifacts('resnet18')"],
];

let project: string;

beforeAll(() => {
  project = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'library-docs-')));
  mkdirSync(path.join(project, 'node_modules'));
  symlinkSync(ROOT, path.join(project, 'node_modules', 'ort-finetune'), 'junction');
  symlinkSync(SAMPLES, path.join(project, 'images'), 'junction');
  symlinkSync(TINY, path.join(project, 'tiny'), 'junction');
  writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }');
  const types = {
    types: ['node'],
    typeRoots: [path.join(ROOT, 'node_modules', '@types')],
    skipLibCheck: true,
  };
  const compilerOptions = { strict: true, module: 'nodenext', target: 'es2022', ...types };
  writeFileSync(
    path.join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['*.ts'] }),
  );
  for (const [number, code] of blocks.entries()) {
    const program = REPLACED.reduce((whole, [from, to]) => whole.replace(from, to), code);
    writeFileSync(path.join(project, `block-${number}.ts`), program);
  }
});
afterAll(() => {
  rmSync(project, { recursive: true });
});

test('every exported function and class has code', async () => {
  const library: Record<string, unknown> = await import('../../src/index.js');
  const isError = (value: unknown): boolean =>
    typeof value === 'function' && value.prototype instanceof Error;
  const names = Object.keys(library).filter(
    (name) => typeof library[name] === 'function' && !isError(library[name]),
  );
  expect(names).toContain('train');
  for (const name of names) expect(blocks.join('\n')).toMatch(new RegExp(`\\b${name}\\b`));
});

test('the code has no type errors', () => {
  expect(typeCheck(project)).toEqual({ status: 0, stdout: '' });
});

test('the code runs', () => {
  const printed = blocks.map((_, number) =>
    execFileSync(process.execPath, [`block-${number}.js`], {
      cwd: project,
      encoding: 'utf8',
      env: { ...process.env, TINY },
    }),
  );
  const [trained, , evaluated, predicted, exported, , refused, classified] = printed;
  const best = path.join('runs', 'train-1', 'checkpoints', 'best.safetensors');
  expect(trained).toContain(best);
  expect(evaluated).toMatch(/^brick [\d.]+ [\d.]+$|^brick /m);
  expect(predicted?.match(/brick-09\.jpg/g)).toHaveLength(1);
  expect(exported).toContain(path.join('runs', 'train-1', 'model.onnx'));
  expect(refused).toMatch(
    /^expected run to be the folder of an earlier training, got "runs\/none"/,
  );
  expect(classified).toMatch(/^\[ 'brick', 'gravel' \]/);
});
