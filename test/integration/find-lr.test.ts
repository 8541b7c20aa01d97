/** Tests the learning-rate range test on the tiny network, and its command. */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../src/common/errors.js';
import type { TrainEvent } from '../../src/common/events.js';
import { suggestionText } from '../../src/cli/find-lr.js';
import { findLrPage } from '../../src/report/find-lr-page.js';
import { findLr, train, type FindLrOptions, type FindLrResult } from '../../src/index.js';
import { Process, makeData, type End } from '../support/run-process.js';
import { Colours } from '../support/tiny-network.js';
import { TINY } from '../support/paths.js';

let dir: string;
let data: string;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'find-lr-'));
  data = await makeData(path.join(dir, 'data'), 10, 4);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

function find(more: FindLrOptions = {}): Promise<FindLrResult> {
  return findLr({
    trainDataset: new Colours(20, ['red', 'blue'], 1),
    valDataset: new Colours(4, ['red', 'blue'], 2),
    ...({ artifacts: TINY, weights: 'random', device: 'cpu', workers: 1, seed: 3 } as const),
    ...more,
  });
}

describe('findLr', () => {
  test('takes one step per rate, epoch after epoch, and suggests a rate that learns', async () => {
    const events: TrainEvent[] = [];
    const options = { minLr: 1e-5, maxLr: 10, steps: 50, batchSize: 8 };
    const result = await find({ ...options, onEvent: (event) => events.push(event) });
    const { points, suggestion } = result;
    expect(result).toMatchObject({ arch: 'tiny', device: 'cpu', batchSize: 8 });
    expect(points[0]?.lr).toBe(1e-5);
    expect((points[1]?.lr ?? 0) / 1e-5).toBeCloseTo(1e6 ** (1 / 49), 10);
    expect(suggestion?.lr).toBeGreaterThan(1e-4);
    expect(suggestion?.lr).toBeLessThan(10);
    const steps = events.filter((event) => event.type === 'step');
    expect(steps.at(-1)).toMatchObject({ epoch: 1, epochs: 1, phase: 'train', batches: 50 });
  });

  test('the losses are those of training: the first batch, and the same on every call', async () => {
    const losses: number[] = [];
    const first = await find({ steps: 10 });
    await train({
      trainDataset: new Colours(20, ['red', 'blue'], 1),
      valDataset: new Colours(4, ['red', 'blue'], 2),
      ...({ artifacts: TINY, weights: 'random', device: 'cpu', workers: 2, seed: 3 } as const),
      // With a rate of 0, every batch of the first epoch sees the initial weights.
      ...{ lr: 0, epochs: 1, batchSize: 4, out: path.join(dir, 'zero') },
      onEvent: (event) => {
        if (event.type === 'phase' && event.record.phase === 'train')
          losses.push(event.record.loss);
      },
    });
    const still = await find({ minLr: 1e-30, maxLr: 2e-30, steps: 10 });
    const epoch = still.points.slice(0, 5).reduce((sum, { loss }) => sum + loss / 5, 0);
    expect(epoch).toBeCloseTo(losses[0] ?? NaN, 6);
    expect(first.points[0]?.loss).toBe(still.points[0]?.loss);
    expect((await find({ steps: 10, workers: 3 })).points).toEqual(first.points);
  });

  test('freeze moves the head alone, and Nesterov and clipping are applied', async () => {
    const common = { minLr: 0.01, maxLr: 0.1, steps: 12 };
    const curves = await Promise.all([
      find(common),
      find({ ...common, freeze: 'backbone' }),
      find({ ...common, nesterov: true }),
      find({ ...common, clipGradNorm: 0.1 }),
    ]);
    const lasts = curves.map(({ points }) => points.at(-1)?.loss);
    expect(new Set(lasts).size).toBe(4);
  });

  test('ends early when the loss diverges', async () => {
    const { points } = await find({ minLr: 0.01, maxLr: 1000, steps: 200 });
    expect(points.length).toBeLessThan(200);
    expect(points.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  });

  test.each([
    [{ minLr: 2000 }, 'expected minLr to be a number above 0, at most 1000, got 2000'],
    [{ minLr: 0 }, 'expected minLr to be a number above 0, at most 1000, got 0'],
    [{ minLr: 0.1, maxLr: 0.1 }, 'expected maxLr to be a number above minLr (0.1), at most 1000'],
    [{ steps: 5 }, 'expected steps to be a whole number from 10 to 10000, got 5'],
    [{ batchSize: 0 }, 'expected batchSize to be'],
  ])('refuses %p', async (options, message) => {
    const failed = find(options);
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(message);
  });

  test('stops when its signal aborts', async () => {
    const stop = new AbortController();
    const onEvent = (event: TrainEvent): void => {
      if (event.type === 'step') stop.abort('enough');
    };
    await expect(find({ signal: stop.signal, onEvent, steps: 1000 })).rejects.toBe('enough');
  });
});

describe('the page', () => {
  const points = [0.001, 0.01, 0.1].map((lr, i) => ({ lr, loss: 3 - i, smoothed: 3 - i / 2 }));
  const found = { points, arch: 'tiny', device: 'cpu', batchSize: 4 };

  test('holds the points and the suggestion, powers of ten below the plot, and loads nothing', () => {
    const page = findLrPage({ ...found, suggestion: { lr: 0.01, lowest: 0.1 } }, 'test 1');
    const json = (id: string): unknown =>
      JSON.parse(new RegExp(`id="${id}">([^]*?)</script>`).exec(page)?.[1] ?? '');
    expect(json('points')).toEqual(points);
    expect(json('suggestion')).toEqual({ lr: 0.01, lowest: 0.1 });
    for (const text of ['>1e-3<', '>1e-2<', '>1e-1<', 'Rate 0.01', 'class="mark s1"']) {
      expect(page).toContain(text);
    }
    expect(/(src|href)="(?!data:)|url\(|https?:/.exec(page)).toBeNull();
    expect(/NaN|undefined|Infinity/.exec(page)).toBeNull();
  });

  test('without a suggestion it has no mark, but advice', () => {
    const result = { ...found, suggestion: null };
    expect(findLrPage(result, 'test 1')).not.toContain('class="mark');
    expect(suggestionText(result)).toMatch(/did not fall; try more --steps/);
  });
});

describe('the command', () => {
  function call(...words: string[]): Promise<End> {
    const common = [
      '--artifacts',
      TINY,
      '--weights',
      'random',
      '--device',
      'cpu',
      '--workers',
      '1',
    ];
    return new Process(['find-lr', ...common, ...words], { cwd: dir }).ended;
  }

  test('prints the suggestion, the page and the next command; nothing else is written', async () => {
    const words = ['--data', data, '--steps', '40', '--min-lr', '1e-4', '--batch-size', '8'];
    const { code, stdout, stderr } = await call(...words);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rate = /Suggested learning rate (\S+) \(the least loss was at \S+\)/.exec(stdout)?.[1];
    expect(stdout).toContain('Plot  find-lr.html\n');
    const next = /^Next: (.*)$/m.exec(stdout)?.[1];
    // Every flag that the test was made with, but those of the range of rates.
    expect(next?.split(' --').sort()).toEqual(
      [
        ...[
          'ort-finetune train',
          `data ${data}`,
          `lr ${rate ?? ''}`,
          'batch-size 8',
          `artifacts ${TINY}`,
        ],
        ...['weights random', 'device cpu', 'workers 1'],
      ].sort(),
    );
    expect(await readFile(path.join(dir, 'find-lr.html'), 'utf8')).toContain('id="points"');
    expect(existsSync(path.join(dir, 'runs'))).toBe(false);
  });

  test('--json: events as lines, the last with the result; --quiet: nothing', async () => {
    const words = ['--data', data, '--steps', '10', '--out', 'other.html'];
    const { code, stdout } = await call(...words, '--json');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    const last = JSON.parse(lines.at(-1) ?? '') as { type: string; result: FindLrResult };
    expect(last).toMatchObject({ type: 'end', page: 'other.html' });
    expect(last.result.points).toHaveLength(10);
    expect(await call(...words, '--quiet')).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  test.each([
    [['--lr', '0.1'], 2, 'expected a flag of "find-lr", got --lr'],
    [['--min-lr', 'low'], 2, 'expected --min-lr to be a number above 0, at most 1000, got "low"'],
    [['--max-lr', '1e-9'], 2, 'expected --max-lr to be a number above --min-lr (0.000001)'],
    [['--steps', '2.5'], 2, 'expected --steps to be a whole number from 10 to 10000, got 2.5'],
    [['--out', ''], 2, 'expected --out to be a file name'],
    [['--steps', '10', '--out', 'none/such.html'], 2, 'there is no folder none; make it'],
  ])('%p: one line that says what is wrong', async (words, code, message) => {
    const outcome = await call('--data', data, ...words);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test('under a launcher of several processes, it says that it needs only one', async () => {
    const env = { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2' };
    const { code, stderr } = await new Process(['find-lr', '--data', data], { cwd: dir, env })
      .ended;
    expect(code).toBe(2);
    expect(stderr).toContain('expected find-lr in one process, got several ranks');
  });
});
