/** Uses the packed package from another project: with strict types, and with a data set in code. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
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
import { ROOT } from '../support/paths.js';
import { typeCheck } from '../support/type-check.js';

let project: string;
let tarball: string;

/** Program that trains as docs/library.md describes, on a data set in code. */
const PROGRAM = `
import { train, type Dataset, type Sample, type TrainResult } from 'ort-finetune';

class Textures implements Dataset {
  readonly classes = ['brick', 'gravel'];
  constructor(readonly folder: string, readonly length: number) {}
  async get(index: number): Promise<Sample> {
    const label = index % 2;
    const name = this.classes[label]!;
    return { image: \`\${this.folder}/\${name}/\${name}-0\${index >> 1}.jpg\`, label };
  }
}

const textures = 'node_modules/ort-finetune/samples/textures';
const result: TrainResult = await train({
  trainDataset: new Textures(\`\${textures}/train\`, 8),
  valDataset: new Textures(\`\${textures}/val\`, 4),
  artifacts: 'tiny',
  weights: 'random',
  epochs: 1,
  workers: 1,
  device: 'cpu',
  out: 'run',
  onEvent: (event) => {
    if (event.type === 'phase') console.log(event.record.phase, event.record.images);
  },
});
console.log(result.bestEpoch, result.checkpoint);
`;

/** Calls that the types must refuse. */
const MISTAKES = [
  "train({ data: 'x', epoch: 3 })",
  "train({ data: 'x', epochs: '3' })",
  "train({ data: 'x', device: 'tpu' })",
  'train({ trainDataset: { length: 1, classes: [], get: () => ({ image: 1, label: 0 }) } })',
];

beforeAll(() => {
  project = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'consumer-test-')));
  const modules = path.join(project, 'node_modules');
  mkdirSync(path.join(modules, '@bufbuild'), { recursive: true });
  const words = ['pack', '--json', '--ignore-scripts', '--pack-destination', project];
  const json = execFileSync('npm', words, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  const [{ filename }] = JSON.parse(json) as [{ filename: string }];
  tarball = path.join(project, filename);
  execFileSync('tar', ['-xzf', filename], { cwd: project });
  symlinkSync(path.join(project, 'package'), path.join(modules, 'ort-finetune'), 'junction');
  const { dependencies } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    symlinkSync(path.join(ROOT, 'node_modules', name), path.join(modules, name), 'junction');
  }
  symlinkSync(path.join(ROOT, 'test/fixtures/tiny'), path.join(project, 'tiny'), 'junction');
  writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }');
  const compilerOptions = { strict: true, module: 'nodenext', target: 'es2022', types: [] };
  writeFileSync(
    path.join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['*.ts'] }),
  );
  writeFileSync(path.join(project, 'main.ts'), PROGRAM);
  const mistakes = MISTAKES.map((call) => `// @ts-expect-error\nvoid ${call};\n`);
  const text = `import { train } from 'ort-finetune';\n${mistakes.join('')}`;
  writeFileSync(path.join(project, 'mistakes.ts'), text);
});
afterAll(() => {
  rmSync(project, { recursive: true });
});

test('its types are strict, complete, and refuse wrong options', () => {
  expect(typeCheck(project)).toEqual({ status: 0, stdout: '' });
});

test('it trains on a data set in code, with the files of the package alone', () => {
  const output = execFileSync(process.execPath, ['main.js'], { cwd: project, encoding: 'utf8' });
  const lines = output.trimEnd().split('\n');
  const best = path.join('run', 'checkpoints', 'best.safetensors');
  expect(lines).toEqual(['train 8', 'val 4', `1 ${best}`]);
});

test('npx installs and runs the packed file in an empty folder, with the variable that docs/library.md names', () => {
  const empty = mkdtempSync(path.join(os.tmpdir(), 'npx-test-'));
  try {
    const settings = ['--weights', 'random', '--epochs', '1', '--workers', '1', '--device', 'cpu'];
    const data = ['--data', path.join(ROOT, 'samples/textures'), '--artifacts', `${project}/tiny`];
    const words = [
      '--yes',
      `./${path.basename(tarball)}`,
      'train',
      ...data,
      ...settings,
      '--out',
      'run',
    ];
    // Leave out the settings of the npm that runs the tests, such as this repository's .npmrc.
    const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
    const env = { ...Object.fromEntries(own), ONNXRUNTIME_NODE_INSTALL: 'skip' };
    copyFileSync(tarball, path.join(empty, path.basename(tarball)));
    const { status, stdout, stderr } = spawnSync('npx', words, {
      cwd: empty,
      encoding: 'utf8',
      env,
    });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout).toContain('Next: ort-finetune export-inference --run run\n');
    expect(existsSync(path.join(empty, 'run', 'checkpoints', 'best.safetensors'))).toBe(true);
  } finally {
    rmSync(empty, { recursive: true });
  }
});
