/** Tests `evaluate` and `predict` on a run of the tiny network, by the library and by the command line. */

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { confusionMatrix } from '../../src/metrics/confusion-matrix.js';
import { EVALUATE } from '../../src/cli/evaluate.js';
import { PREDICT } from '../../src/cli/predict.js';
import { flagName } from '../../src/config/validator.js';
import type { PhaseRecord } from '../../src/common/events.js';
import { exportInference, train, type TrainResult } from '../../src/index.js';
import { loadPredictions } from '../../src/platform/node/defaults.js';
import { predictionsFile } from '../../src/checkpoint/predictions-file.js';
import type { EvaluationResult } from '../../src/inference/evaluate.js';
import { CLASSES, makeData } from '../support/run-process.js';
import { CLI, ROOT, TINY } from '../support/paths.js';

let cwd: string;
let data: string;
let run: TrainResult;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function call(words: readonly string[], input?: string | Uint8Array): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [CLI, ...words], { cwd }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
    child.stdin?.end(input ?? '');
  });
}

const imageFile = (name: string): string => path.join(data, 'val', name);
const source = (): string[] => ['--run', run.runDir, '--workers', '1'];

beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'judge-test-'));
  data = await makeData(path.join(cwd, 'data'), 8, 5);
  run = await train({
    ...({ data, artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const),
    ...{ out: path.join(cwd, 'run'), epochs: 3, lr: 0.003, seed: 1 },
  });
});
afterAll(async () => {
  await rm(cwd, { recursive: true });
});

describe('evaluate', () => {
  test("repeats training's figures, from the run and from the exported model", async () => {
    const lines = (await readFile(path.join(run.runDir, 'metrics.jsonl'), 'utf8')).trimEnd();
    const records = lines.split('\n').map((line) => JSON.parse(line) as PhaseRecord);
    const best = records.find((r) => r.epoch === run.bestEpoch && r.phase === 'val');
    const model = path.join(cwd, 'model.onnx');
    await exportInference({ run: run.runDir, checkpoint: 'best', out: model });
    const confusion = confusionMatrix(await loadPredictions(predictionsFile(run.runDir, 'best')));
    for (const words of [source(), ['--model', model, '--artifacts', TINY]]) {
      const { code, stdout, stderr } = await call(['evaluate', ...words, '--data', data, '--json']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const result = JSON.parse(stdout) as EvaluationResult;
      expect(result.images).toBe(10);
      expect(result.accuracy).toBe(best?.accuracy);
      expect(result.loss).toBeCloseTo(best?.loss ?? NaN, 5);
      expect(result.confusion).toEqual(confusion);
      expect(result.classes.map(({ name, support }) => [name, support])).toEqual(
        [
          ['red', 5],
          ['blue', 5],
        ].sort(),
      );
    }
  });

  test('prints a table, or CSV, for a folder of class folders', async () => {
    const folder = path.join(data, 'train');
    const text = await call(['evaluate', ...source(), '--data', folder]);
    expect(text.stdout).toMatch(
      /^Images 16 {2}loss \d\.\d{4} {2}accuracy \d+\.\d%\n\nclass +precision/,
    );
    expect(text.stdout).toMatch(/^actual \\ predicted +blue +red$/m);
    const csv = await call(['evaluate', ...source(), '--data', folder, '--csv']);
    const [head, ...rows] = csv.stdout.trimEnd().split('\n');
    expect(head).toBe('class,precision,recall,f1,images,predicted blue,predicted red');
    expect(rows.map((row) => row.split(',')[0])).toEqual([...CLASSES].sort());
    expect(csv.stderr).toBe('');
  });

  test('CSV says which folder was measured where another one was given', async () => {
    const { stdout, stderr } = await call(['evaluate', ...source(), '--data', data, '--csv']);
    expect(stderr).toBe(`Data   ${path.join(data, 'val')}\n`);
    expect(stdout).toMatch(/^class,/);
  });

  test('a class that the model does not know is refused', async () => {
    const folder = path.join(cwd, 'other');
    await cp(path.join(data, 'val', 'red'), path.join(folder, 'violet'), { recursive: true });
    const { code, stderr } = await call(['evaluate', ...source(), '--data', folder]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: expected class folders of .*violet.*\n$/);
  });
});

describe('predict', () => {
  test('files, folders, patterns: each image once, in order, the best class first', async () => {
    const [red, blue] = [imageFile('red/0.png'), imageFile('blue')];
    const words = ['predict', ...source(), '--json', red, blue, `${data}/val/*/[34].png`];
    const { code, stdout, stderr } = await call(words);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    type Line = { path: string; classes: { name: string; probability: number }[] };
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    const names = ['blue/3.png', 'blue/4.png', 'red/3.png', 'red/4.png'];
    const blues = [0, 1, 2, 3, 4].map((i) => imageFile(`blue/${i}.png`));
    expect(lines.map((line) => line.path)).toEqual([red, ...blues, ...names.map(imageFile)]);
    for (const { classes } of lines) {
      expect(classes.map(({ name }) => name).sort()).toEqual([...CLASSES].sort());
      const [first, second] = classes.map(({ probability }) => probability);
      expect(first).toBeGreaterThanOrEqual(second ?? NaN);
      expect((first ?? NaN) + (second ?? NaN)).toBeCloseTo(1, 9);
    }
  });

  test('a broken image is reported and the rest are answered', async () => {
    const broken = path.join(cwd, 'broken.jpg');
    await writeFile(broken, 'no image');
    const images = [
      imageFile('red/0.png'),
      broken,
      path.join(cwd, 'none.jpg'),
      imageFile('blue/0.png'),
    ];
    const text = await call(['predict', ...source(), '--top', '1', ...images]);
    expect(text.code).toBe(1);
    const shown = text.stdout.trimEnd().split('\n');
    expect(shown).toHaveLength(2);
    expect(shown[0]).toMatch(/red\/0\.png {2}(red|blue) \d+\.\d%$/);
    expect(text.stderr).toMatch(/^error: .*broken\.jpg.*\nerror: .*none\.jpg.*\n$/);
    const csv = await call(['predict', ...source(), '--csv', ...images]);
    expect(csv.code).toBe(1);
    const rows = csv.stdout.trimEnd().split('\n');
    expect(rows).toHaveLength(1 + 2 + 1 + 1 + 2);
    expect(rows[3]).toMatch(/broken\.jpg,,,,.*expected a readable image/);
  });

  test('standard input: an image, or a list of paths', async () => {
    const image = imageFile('red/1.png');
    const direct = await call(['predict', ...source(), '--csv', image]);
    const piped = await call(['predict', ...source(), '--csv', '-'], await readFile(image));
    expect(piped.stdout).toBe(direct.stdout.replaceAll(image, '-'));
    const listed = await call(['predict', ...source(), '--csv', '-'], `${image}\r\n\n`);
    expect(listed.stdout).toBe(direct.stdout);
  });
});

describe('a wrong call ends with one line and exit code 2', () => {
  test.each([
    ['predict without images', ['predict', '--run', 'run'], 'expected images, folders, patterns'],
    ['no network', ['predict', 'a.jpg'], 'expected --run or --model, got neither'],
    ['two networks', ['predict', '--run', 'run', '--model', 'm', 'a'], 'got both'],
    ['two formats', ['evaluate', '--run', 'run', '--json', '--csv'], 'expected --json or --csv'],
    ['no data', ['evaluate', '--run', 'run'], 'expected --data to be a folder of labelled images'],
    [
      'a bad number',
      ['predict', '--run', 'run', '--top', 'x', 'a'],
      'expected --top to be a whole',
    ],
    ['an unknown flag', ['evaluate', '--runs', 'run'], 'did you mean --run?'],
    ['a missing model', ['predict', '--model', 'none.onnx', 'a'], 'expected a model at none.onnx'],
    ['an empty folder', ['predict', '--run', 'run', 'empty'], 'expected images'],
    ['a pattern without match', ['predict', '--run', 'run', 'no*.jpg'], 'expected a match'],
  ])('%s', async (_, words, message) => {
    await mkdir(path.join(cwd, 'empty'), { recursive: true });
    const { code, stdout, stderr } = await call(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(message);
  });

  test('a model file that is something else', async () => {
    await writeFile(path.join(cwd, 'other.onnx'), 'nothing');
    const { code, stderr } = await call(['predict', '--model', 'other.onnx', 'a.jpg']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: expected a model of "export-inference" in other\.onnx.*\n$/);
  });
});

test.each([
  ['evaluate', EVALUATE.options],
  ['predict', PREDICT.options],
])('the help and docs/cli.md know every flag of %s', async (command, flags) => {
  const { stdout } = await call([command, '--help']);
  const text = await readFile(path.join(ROOT, 'docs/cli.md'), 'utf8');
  const section = text.split(`\n## ${command}\n`)[1]?.split('\n## ')[0] ?? '';
  for (const flag of Object.keys(flags).map(flagName)) {
    expect(stdout).toContain(`--${flag}`);
    expect(section).toContain(`\`--${flag}`);
  }
});
