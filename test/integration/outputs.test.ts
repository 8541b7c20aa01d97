/**
 * Holds: nothing of another kind is replaced. What `--out` and `--web` name is new, empty or an older file of the same
 * command; links are followed. Everything else is refused in words before the work, and stays as it was.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync } from 'node:fs';
import {
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { exportInference, train } from '../../src/index.js';
import { CLASSES, call, makeData, type End } from '../support/run-process.js';
import { TINY } from '../support/paths.js';
import { readStored } from '../support/stored-graph.js';
import { coloured } from '../support/tiny-network.js';

let cwd: string;
const at = (...names: string[]): string => path.join(cwd, ...names);
const FIND = ['find-lr', '--data', 'data', '--artifacts', TINY, '--weights', 'random'];
const SHORT = ['--device', 'cpu', '--workers', '1', '--steps', '10', '--batch-size', '4'];

function run(...words: string[]): Promise<End> {
  return call(words, { cwd });
}
const exported = (...more: string[]): Promise<End> =>
  run('export-inference', '--run', 'run', '--skip-replay', ...more);
const searched = (...more: string[]): Promise<End> => run(...FIND, ...SHORT, ...more);

beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'outputs-'));
  const data = await makeData(at('data'), 4, 2);
  const machine = { artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const;
  await train({ ...machine, data, out: at('run'), epochs: 1, lr: 0.003 });
  await writeFile(at('photo.png'), await coloured(0, 1));
  await writeFile(at('notes.txt'), 'mine');
  await writeFile(at('foreign.onnx'), readStored(TINY, 'inference'));
  await writeFile(at('index.html'), '<!doctype html><title>My site</title>');
  await mkdir(at('folder'));
  execFileSync('mkfifo', [at('pipe')]);
  await symlink('/dev/null', at('device'));
  await symlink('circle', at('circle'));
  await mkdir(at('site'));
  await cp(at('index.html'), at('site/index.html'));
  await mkdir(at('models'));
  await writeFile(at('models/model.onnx'), 'another model');
});
afterAll(async () => {
  await rm(cwd, { recursive: true });
});

/** Returns what a file is and holds. */
async function state(file: string): Promise<unknown> {
  const found = lstatSync(file);
  return [found.mode, found.isFile() ? (await readFile(file)).toString('latin1') : null];
}

const OTHERS = [
  ['photo.png', 'holds something else'],
  ['notes.txt', 'holds something else'],
  ['index.html', 'holds something else'],
  ['foreign.onnx', 'holds something else'],
  ['run/checkpoints/best.safetensors', 'holds something else'],
  [`data/train/${CLASSES[0] ?? ''}/0.png`, 'holds something else'],
  ['folder', 'is a folder'],
  ['pipe', 'is a named pipe'],
  ['device', '/dev/null is a device'],
  ['circle', 'leads in a circle'],
] as const;

describe('what is something else is refused before the work', () => {
  test.each(OTHERS)('export-inference --out %s', async (name, found) => {
    const before = await state(at(name));
    const { code, stdout, stderr } = await exported('--out', name);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(
      /^error: expected --out to be a new file, or a model that .*; .*choose|move/,
    );
    expect(stderr).toContain(found);
    expect(await state(at(name))).toEqual(before);
  });

  test.each(OTHERS)('find-lr --out %s', async (name, found) => {
    const before = await state(at(name));
    const { code, stdout, stderr } = await searched('--out', name);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('expected --out to be a new file, or a page that find-lr wrote');
    expect(stderr).toContain(found);
    expect(await state(at(name))).toEqual(before);
  });

  test.each([
    ['site', 'index.html', 'holds something else'],
    ['models', 'model.onnx', 'holds something else'],
    ['notes.txt', '', 'is something else'],
  ])('export-inference --web %s', async (dir, file, found) => {
    const before = await state(at(dir, file));
    const { code, stdout, stderr } = await exported('--out', 'beside-web.onnx', '--web', dir);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`expected --web to be a new folder`);
    expect(stderr).toContain(path.join(dir, file));
    expect(stderr).toContain(found);
    expect(await state(at(dir, file))).toEqual(before);
  });

  test.each(['ort.wasm.min.mjs', 'decoders/@jsquash/png/LICENSE', 'code/images/orient.js'])(
    'export-inference --web DIR with %s of others',
    async (name) => {
      const dir = `mine-${path.basename(name)}`;
      await mkdir(path.dirname(at(dir, name)), { recursive: true });
      await writeFile(at(dir, name), 'mine');
      const { code, stderr } = await exported('--out', 'beside-web.onnx', '--web', dir);
      expect(code).toBe(2);
      expect(stderr).toContain('expected --web to be a new folder');
      expect(stderr).toContain(`${path.join(dir, name)} holds something else`);
      expect(await readFile(at(dir, name), 'utf8')).toBe('mine');
      expect(existsSync(at('beside-web.onnx'))).toBe(false);
    },
  );

  test('export-inference --web DIR with a file in the place of a folder', async () => {
    await mkdir(at('flat'));
    await writeFile(at('flat/code'), 'mine');
    const { code, stderr } = await exported('--out', 'beside-web.onnx', '--web', 'flat');
    expect(code).toBe(2);
    expect(stderr).toContain(`${path.join('flat', 'code')} is something else`);
  });

  test.each([
    ['none/model.onnx', 'there is no folder none'],
    ['notes.txt/model.onnx', 'there is no folder notes.txt'],
    ['fresh/', 'it ends as a folder does'],
  ])('a place that cannot be: %s', async (out, found) => {
    for (const end of [await exported('--out', out), await searched('--out', out)]) {
      expect(end.code).toBe(2);
      expect(end.stderr).toContain(found);
    }
  });

  test.each(['photo.png', 'pipe', 'foreign.onnx'])('exportInference({ out: %s })', async (name) => {
    const call = exportInference({ run: at('run'), skipReplay: true, out: at(name) });
    await expect(call).rejects.toThrow('expected out to be a new file, or a model that');
  });
});

describe('what the command wrote is replaced', () => {
  test('a model, an empty file, and what a link leads to', async () => {
    const said = await exported('--out', 'model.bin');
    expect(said.stdout).toContain('Not tried on the validation images: as asked');
    await symlink('model.bin', at('link.onnx'));
    await symlink('later.onnx', at('dangling.onnx'));
    await writeFile(at('empty.dat'), '');
    const first = await readFile(at('model.bin'));
    for (const name of ['model.bin', 'link.onnx', 'dangling.onnx', 'empty.dat']) {
      expect((await exported('--out', name, '--probabilities')).code).toBe(0);
    }
    expect(lstatSync(at('link.onnx')).isSymbolicLink()).toBe(true);
    const second = await readFile(at('model.bin'));
    expect(second.equals(first)).toBe(false);
    for (const name of ['later.onnx', 'empty.dat']) {
      expect((await readFile(at(name))).equals(second)).toBe(true);
    }
  });

  test('a page of find-lr and a web page', async () => {
    for (let i = 0; i < 2; i++) {
      expect(await searched('--out', 'page.html')).toMatchObject({ code: 0 });
      expect(await exported('--web', 'web')).toMatchObject({ code: 0 });
      // A page of an earlier version holds other modules.
      await writeFile(at('web/code/images/orient.js'), 'export const earlier = true;');
    }
  });

  test('a web page that was killed before it was whole is begun again', async () => {
    expect(await exported('--web', 'cut')).toMatchObject({ code: 0 });
    for (const name of ['index.html', 'model.onnx']) await rm(at('cut', name));
    expect(await exported('--web', 'cut')).toMatchObject({ code: 0 });
    expect(existsSync(at('cut/index.html'))).toBe(true);
  });

  test.each([
    ['export-inference --out', 'swept.onnx', (): Promise<End> => exported('--out', 'swept.onnx')],
    ['export-inference --web', 'swept/ort.wasm.min.mjs', () => exported('--web', 'swept')],
    ['find-lr --out', 'swept.html', () => searched('--out', 'swept.html')],
  ])('leftovers of a killed %s are removed, others stay', async (_, file, again) => {
    const dir = path.dirname(at(file));
    await mkdir(dir, { recursive: true });
    const temporary = (name: string): string => path.join(dir, `.${name}.999999.0123abcd.tmp`);
    const [left, young, other] = [path.basename(file), path.basename(file), 'notes.txt'].map(
      (name, i) => temporary(name).replace('0123abcd', `0123abc${i}`),
    ) as [string, string, string];
    for (const name of [left, young, other]) await writeFile(name, 'half');
    const old = new Date(Date.now() - 2 * 3_600_000);
    for (const name of [left, other]) await utimes(name, old, old);
    expect(await again()).toMatchObject({ code: 0 });
    expect([left, young, other].map((name) => existsSync(name))).toEqual([false, true, true]);
    for (const name of [young, other]) await rm(name);
  });
});

test.each([['export-inference'], ['evaluate', '--data', 'data'], ['predict', 'photo.png']])(
  'a run without best weights says so: %s',
  async (command, ...more) => {
    await cp(at('run'), at('early'), { recursive: true });
    await rename(at('early/checkpoints/best.safetensors'), at('aside'));
    const { code, stderr } = await run(command, '--run', 'early', ...more);
    expect(code).toBe(1);
    expect(stderr).toMatch(/it has none yet.*use --checkpoint last.*train --resume early/);
  },
);
