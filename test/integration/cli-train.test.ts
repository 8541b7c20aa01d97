/** Runs the commands from outside: the tiny network on a part of the samples, one process per command. */

import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { PhaseRecord, TrainEvent } from '../../src/common/events.js';
import { type End, call as callCli } from '../support/run-process.js';
import { ROOT } from '../support/paths.js';

const cli = path.join(ROOT, 'dist', 'src', 'cli.js');
const tiny = path.join(ROOT, 'test', 'fixtures', 'tiny');
const cwd = mkdtempSync(path.join(os.tmpdir(), 'cli-train-test-'));
afterAll(() => {
  rmSync(cwd, { recursive: true });
});

const call = (...words: string[]): Promise<End> => callCli(words, { cwd });

const train = (...more: string[]): Promise<End> =>
  call(
    'train',
    '--data',
    'data',
    '--artifacts',
    tiny,
    '--device',
    'cpu',
    '--workers',
    '1',
    ...more,
  );

beforeAll(() => {
  // Ten images per class for training, four for validation. One file name has a space, one is not ASCII.
  for (const [split, count] of [
    ['train', 10],
    ['val', 4],
  ] as const) {
    for (const name of ['brick', 'gravel']) {
      const from = path.join(ROOT, 'samples', 'textures', split, name);
      const to = path.join(cwd, 'data', split, name);
      mkdirSync(to, { recursive: true });
      readdirSync(from)
        .sort()
        .slice(0, count)
        .forEach((file, index) => {
          cpSync(path.join(from, file), path.join(to, index === 0 ? `größe 1.jpg` : file));
        });
    }
  }
});

describe('train, then export-inference', () => {
  test('prints the resolved settings, a line per phase, the result and the next command', async () => {
    const { code, stdout, stderr } = await train('--weights', 'random', '--epochs', '2');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const run = path.join('runs', 'train-1');
    expect(stdout).toMatch(/^Device {3}cpu \(.+\)$/m);
    expect(stdout).toMatch(/^Classes {2}2: brick, gravel$/m);
    expect(stdout).toMatch(/^Images {3}20 training, 8 validation$/m);
    expect(stdout.match(/^Epoch [12]\/2 {2}(train|val {2}) {2}loss \d/gm)).toHaveLength(4);
    expect(stdout).toMatch(/^Best validation accuracy \d+\.\d% \(loss \d+\.\d{4}, epoch [12]\)$/m);
    expect(stdout).toMatch(/^Next: ort-finetune export-inference --run .*train-1$/m);
    expect(stdout).not.toContain('\r');

    const lines = readFileSync(path.join(cwd, run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const records = lines.map((line) => JSON.parse(line) as PhaseRecord);
    expect(records.map(({ epoch, phase, images }) => [epoch, phase, images])).toEqual([
      [1, 'train', 20],
      [1, 'val', 8],
      [2, 'train', 20],
      [2, 'val', 8],
    ]);
    expect(readdirSync(path.join(cwd, run, 'checkpoints')).sort()).toEqual([
      'best.safetensors',
      'last.safetensors',
      'step-00000005.safetensors',
    ]);
    const config = readFileSync(path.join(cwd, run, 'config.json'), 'utf8');
    expect(JSON.parse(config)).toMatchObject({ epochs: 2, batchSize: 4, lr: 0.001, seed: 0 });
  });

  test('--quiet prints nothing, --json an event per line', async () => {
    const short = ['--weights', 'random', '--epochs', '1'];
    const quiet = await train(...short, '--quiet', '--out', 'quiet');
    expect(quiet).toMatchObject({ code: 0, stdout: '', stderr: '' });
    const { code, stdout, stderr } = await train(...short, '--json', '--out', 'json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as TrainEvent);
    expect(events.find(({ type }) => type === 'start')).toMatchObject({ runDir: 'json' });
    const records = events.flatMap((event) => (event.type === 'phase' ? [event.record] : []));
    const lines = readFileSync(path.join(cwd, 'json', 'metrics.jsonl'), 'utf8').trimEnd();
    expect(records.map((record) => JSON.stringify(record)).join('\n')).toBe(lines);
    expect(events.at(-1)?.type).toBe('end');
    const both = await train('--quiet', '--json');
    expect(both.code).toBe(2);
    expect(both.stderr).toBe('error: expected --quiet or --json, got both; choose one\n');
  });

  test.each(['best', 'last'])('exports the %s weights', async (checkpoint) => {
    const out = `${checkpoint}.onnx`;
    const { code, stdout, stderr } = await call(
      ...['export-inference', '--run', 'runs/train-1'],
      ...['--checkpoint', checkpoint, '--out', out],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^Exported .+: 2 classes, [0-9.]+ MB; logits within .+ of the evaluation graph$/m,
    );
    expect(statSync(path.join(cwd, out)).size).toBeGreaterThan(10_000);
  });

  test('a second run gets a folder of its own and the same numbers', async () => {
    const { code } = await train('--weights', 'random', '--epochs', '1');
    expect(code).toBe(0);
    const first = (run: string): string[] =>
      readFileSync(path.join(cwd, 'runs', run, 'metrics.jsonl'), 'utf8')
        .split('\n')
        .slice(0, 2)
        .map((line) => {
          const { loss, accuracy } = JSON.parse(line) as PhaseRecord;
          return `${loss} ${accuracy}`;
        });
    expect(first('train-2')).toEqual(first('train-1'));
  });
});

describe('output that is not read', () => {
  const words = (out: string): string =>
    [process.execPath, cli, 'train', '--data', 'data', '--artifacts', tiny, '--out', out]
      .concat(['--device', 'cpu', '--workers', '1', '--weights', 'random', '--epochs', '1'])
      .join(' ');
  const shell = (script: string): Promise<Omit<End, 'signal'>> =>
    new Promise((resolve) => {
      const env = { ...process.env, ORT_FINETUNE_CACHE: path.join(cwd, 'cache') };
      const bash = ['-c', `set -o pipefail; ${script}`];
      execFile('bash', bash, { cwd, env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      });
    });
  const epochs = (out: string): number =>
    readFileSync(path.join(cwd, out, 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n').length;

  test('a reader that goes away does not end the run', async () => {
    expect(await shell(`${words('head')} 2>&1 | head -n 1`)).toMatchObject({ code: 0 });
    expect(epochs('head')).toBe(2);
  });

  const full = existsSync('/dev/full') ? test : test.skip;
  full('a log on a full disk: the run is finished, said, and exit code 1', async () => {
    const { code, stderr } = await shell(`${words('full')} > /dev/full`);
    expect(stderr).toMatch(/^warning: standard output is lost: ENOSPC[^\n]*\n$/);
    expect(code).toBe(1);
    expect(epochs('full')).toBe(2);
    expect(await shell(`${words('both')} > /dev/full 2>&1`)).toMatchObject({ code: 1 });
    expect(epochs('both')).toBe(2);
  });
});

test('--resume finds the newest run among other files', async () => {
  writeFileSync(path.join(cwd, 'runs', '.DS_Store'), '');
  mkdirSync(path.join(cwd, 'runs', 'train-9'));
  const { code, stdout, stderr } = await call('train', '--resume');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/train-2/);
});

test('as a library, also from a script that is given to node as text', async () => {
  const library = JSON.stringify(new URL('../../src/index.js', import.meta.url).href);
  const settings = { data: 'data', artifacts: tiny, out: 'library', weights: 'random' };
  const more = { device: 'cpu', workers: 1, epochs: 1 };
  const script =
    `import { train } from ${library};` +
    `console.log((await train(${JSON.stringify({ ...settings, ...more })})).bestEpoch);`;
  const found = await new Promise((resolve) => {
    const words = ['--input-type=module', '--eval', script];
    execFile(process.execPath, words, { cwd }, (_, stdout, stderr) => {
      resolve({ stdout, stderr });
    });
  });
  expect(found).toEqual({ stdout: '1\n', stderr: '' });
});

describe('failures while training end with exit code 1 and one line', () => {
  const oneLine = /^error: [^\n]+\n$/;

  test('a file that is not an image is named', async () => {
    const bad = path.join('data', 'train', 'brick', 'zz broken.jpg');
    writeFileSync(path.join(cwd, bad), 'no image');
    const { code, stderr } = await train('--weights', 'random', '--epochs', '1', '--out', 'bad');
    rmSync(path.join(cwd, bad));
    expect(stderr).toMatch(oneLine);
    expect(stderr).toContain('zz broken.jpg');
    expect(code).toBe(1);
  });

  test('a class that exists only for validation', async () => {
    const extra = path.join(cwd, 'data', 'val', 'wood');
    cpSync(path.join(cwd, 'data', 'val', 'brick'), extra, { recursive: true });
    const { code, stderr } = await train('--weights', 'random', '--epochs', '1', '--out', 'extra');
    rmSync(extra, { recursive: true });
    expect(stderr).toMatch(oneLine);
    expect(stderr).toContain('wood');
    expect(code).toBe(1);
  });

  test('a run folder without checkpoints', async () => {
    mkdirSync(path.join(cwd, 'empty'));
    const { code, stderr } = await call('export-inference', '--run', 'empty');
    expect(stderr).toMatch(oneLine);
    expect(code).not.toBe(0);
  });
});
