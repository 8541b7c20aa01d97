/** Checks that a run that is stopped and resumed ends with the same bits as one that is not. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { loadCheckpoint, saveCheckpoint } from '../../src/platform/node/defaults.js';
import { ConfigError, InterruptedError, WeightsError } from '../../src/common/errors.js';
import type { TrainEvent } from '../../src/common/events.js';
import { train, type TrainOptions } from '../../src/index.js';
import { outcome, type Outcome } from '../support/run-process.js';
import { Colours } from '../support/tiny-network.js';
import { TINY } from '../support/paths.js';

const CLASSES = ['red', 'blue', 'green'];
/** Epochs of a run. Each has 7 steps: 26 training images in batches of 4, the last of 2. */
const EPOCHS = 4;
const trainDataset = new Colours(26, CLASSES, 1);
const valDataset = new Colours(9, CLASSES, 2);
const datasets = { trainDataset, valDataset };
let dir: string;
let reference: Outcome;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'resume-test-'));
  const { runDir } = await train(settings('reference'));
  reference = await outcome(runDir);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

function settings(out: string, more: Partial<TrainOptions> = {}): TrainOptions {
  return {
    ...datasets,
    ...{ artifacts: TINY, out: path.join(dir, out), weights: 'random', device: 'cpu' },
    ...{ threads: 1, workers: 2, epochs: EPOCHS, lr: 0.02, stepSize: 2, seed: 3 },
    ...more,
  };
}

/** Runs until `phase` of epoch `epoch` has done at least `batch` batches, then stops the run by its signal. */
async function runUntil(
  [epoch, phase, batch]: readonly [number, 'train' | 'val', number],
  options: TrainOptions,
): Promise<InterruptedError> {
  const stop = new AbortController();
  const onEvent = (event: TrainEvent): void => {
    if (event.type !== 'step' || event.phase !== phase) return;
    if (event.epoch === epoch && event.batch >= batch) stop.abort();
  };
  const error: unknown = await train({ ...options, signal: stop.signal, onEvent }).catch(
    (reason: unknown) => reason,
  );
  if (!(error instanceof InterruptedError)) throw error;
  return error;
}

const resume = (runDir: string, more: Partial<TrainOptions> = {}): Promise<unknown> =>
  train({ ...datasets, resume: runDir, ...more });

describe('stopped and resumed, the bits are those of a run that was not', () => {
  test.each([
    ['in the first call of steps', [1, 'train', 1], {}],
    ['after three steps, which a checkpoint ends', [1, 'train', 3], { saveEvery: 3 }],
    ['with the last, smaller batch to go', [2, 'train', 6], { saveEvery: 2 }],
    ['at the end of the training of an epoch', [2, 'train', 7], {}],
    ['during the validation before the rate drops', [2, 'val', 1], {}],
    ['between two epochs, where the rate drops', [2, 'val', 3], {}],
    ['in the last validation', [4, 'val', 2], { keep: 1 }],
  ] as const)('%s', async (name, place, more) => {
    const options = settings(name.replaceAll(/\W/g, '-'), more);
    const { runDir } = await runUntil(place, options);
    if (runDir === null) throw new Error('stopped too early');
    await resume(runDir, { workers: 3 });
    expect(await outcome(runDir)).toEqual(reference);
  });

  test('twice in a row in one epoch, then in the next', async () => {
    const options = settings('thrice', { saveEvery: 1, workers: 1 });
    await runUntil([2, 'train', 2], options);
    const again = { ...datasets, resume: options.out ?? '' };
    await runUntil([2, 'train', 4], again);
    await runUntil([3, 'train', 1], { ...again, workers: 4 });
    await resume(again.resume);
    expect(await outcome(again.resume)).toEqual(reference);
  });

  test('with a frozen backbone, Nesterov momentum and clipped gradients', async () => {
    const special = { freeze: 'backbone', nesterov: true, clipGradNorm: 0.5 } as const;
    const whole = await train(settings('frozen-whole', special));
    const { runDir } = await runUntil([2, 'train', 3], settings('frozen', special));
    if (runDir === null) throw new Error('stopped too early');
    await expect(resume(runDir, { freeze: 'none' })).rejects.toThrow(
      'freeze was "backbone", is "none"',
    );
    await resume(runDir);
    expect(await outcome(runDir)).toEqual(await outcome(whole.runDir));
  });

  test('from every checkpoint that was kept, and from one outside the run', async () => {
    const options = settings('kept', { saveEvery: 5, keep: 100 });
    const { runDir } = await train(options);
    const checkpoints = path.join(runDir, 'checkpoints');
    const names = await readdir(checkpoints);
    const steps = [0, 5, 7, 10, 14, 15, 20, 21, 25].map(
      (step) => `step-${String(step).padStart(8, '0')}.safetensors`,
    );
    expect(names.sort()).toEqual(['best.safetensors', 'last.safetensors', ...steps]);
    for (const name of ['step-00000000.safetensors', 'step-00000015.safetensors']) {
      await resume(path.join(checkpoints, name));
      expect(await outcome(runDir)).toEqual(reference);
    }
    const copied = path.join(dir, 'copied.safetensors');
    await cp(path.join(checkpoints, 'step-00000000.safetensors'), copied);
    await resume(copied, { out: path.join(dir, 'elsewhere') });
    // The copy of a finished run has no steps left either.
    await cp(path.join(checkpoints, 'last.safetensors'), copied);
    const none = path.join(dir, 'none');
    expect(await resume(copied, { out: none })).toMatchObject({ checkpoint: copied });
    await expect(readdir(none)).rejects.toThrow('ENOENT');
    expect(await outcome(path.join(dir, 'elsewhere'))).toEqual(reference);
  });

  test('with more epochs than before', async () => {
    const { runDir } = await train(settings('grown', { epochs: 2 }));
    await resume(runDir, { epochs: EPOCHS });
    expect(await outcome(runDir)).toEqual(reference);
    const config = await readFile(path.join(runDir, 'config.json'), 'utf8');
    expect(JSON.parse(config)).toMatchObject({ epochs: EPOCHS });
  });

  test('killed between the writing of last and best, also at the very end', async () => {
    const { runDir } = await train(settings('no-best', { keep: 100 }));
    const file = (name: string): string => path.join(runDir, 'checkpoints', `${name}.safetensors`);
    const best = await readFile(file('best'));
    expect(reference.best.run.epoch).toBeGreaterThan(1);
    await cp(file('step-00000007'), file('best'));
    await resume(runDir);
    expect(best.equals(await readFile(file('best')))).toBe(true);
    await rm(file('best'));
    await resume(runDir, { epochs: EPOCHS + 1 });
    const { run } = (await outcome(runDir)).best;
    expect(run.epoch).toBeGreaterThanOrEqual(reference.best.run.epoch);
  });

  test('without the best weights so far, it says so and keeps the best of the rest', async () => {
    const { runDir } = await train(settings('lost-best', { epochs: 2, keep: 1 }));
    const events: TrainEvent[] = [];
    const file = path.join(runDir, 'checkpoints', 'last.safetensors');
    const { manifest } = await openArtifacts(TINY);
    const { state, run } = await loadCheckpoint(file, manifest);
    // Name a best epoch whose weights are not stored.
    const best = { epoch: 1, accuracy: 1, loss: 0 };
    await saveCheckpoint(file, { state, run: { ...run, best } });
    await rm(path.join(runDir, 'checkpoints', 'best.safetensors'));
    await resume(runDir, { epochs: 3, onEvent: (event) => events.push(event) });
    expect(events.map(({ type }) => type)).toContain('warning');
    expect((await outcome(runDir)).best.run.epoch).toBe(3);
  });
});

describe('damaged, missing and differing files', () => {
  let runDir: string;
  const checkpoint = (name: string): string => path.join(runDir, 'checkpoints', name);
  const damage = async (name: string): Promise<void> => {
    const bytes = await readFile(checkpoint(name));
    bytes[bytes.length - 9] = (bytes.at(-9) ?? 0) ^ 4;
    await writeFile(checkpoint(name), bytes);
  };
  beforeAll(async () => {
    const options = settings('stopped', { saveEvery: 2, keep: 3 });
    ({ runDir = '' } = (await runUntil([3, 'train', 3], options)) as { runDir: string });
  });
  let number = 0;
  /** Copies the stopped run, for the test to work on. */
  const copy = async (): Promise<void> => {
    const to = path.join(dir, `copy-${++number}`);
    await cp(path.join(dir, 'stopped'), to, { recursive: true });
    runDir = to;
  };

  test('the newest checkpoint is damaged: the one before it, with a warning', async () => {
    await copy();
    await damage('last.safetensors');
    const events: TrainEvent[] = [];
    await resume(runDir, { onEvent: (event) => events.push(event) });
    const warnings = events.filter(({ type }) => type === 'warning');
    expect(warnings).toEqual([
      { type: 'warning', message: expect.stringMatching(/last.*damaged.*passed over/) as unknown },
    ]);
    const [start] = events.filter((event) => event.type === 'start');
    expect(start?.resumed?.file).toMatch(/step-\d+/);
    expect(await outcome(runDir)).toEqual(reference);
  });

  test('the newest and the one before it are damaged', async () => {
    await copy();
    const names = (await readdir(path.join(runDir, 'checkpoints'))).sort();
    await damage('last.safetensors');
    await damage(names.at(-1) ?? '');
    await resume(runDir);
    expect(await outcome(runDir)).toEqual(reference);
  });

  test('all are damaged', async () => {
    await copy();
    for (const name of await readdir(path.join(runDir, 'checkpoints'))) await damage(name);
    await expect(resume(runDir)).rejects.toThrow(WeightsError);
    await expect(resume(runDir)).rejects.toThrow('only damaged ones');
  });

  test('a damaged file that is named is an error', async () => {
    await copy();
    await damage('last.safetensors');
    await expect(resume(checkpoint('last.safetensors'))).rejects.toThrow(/checksum is wrong/);
  });

  test('a missing file, a missing run and a run without checkpoints are errors', async () => {
    await copy();
    await expect(resume(checkpoint('none'))).rejects.toThrow(ConfigError);
    await expect(resume(path.join(dir, 'none'))).rejects.toThrow(/found nothing at .*none/);
    const below = path.join(checkpoint('last.safetensors'), 'none');
    await expect(resume(below)).rejects.toThrow(/found nothing at .*none/);
    await rm(path.join(runDir, 'checkpoints'), { recursive: true });
    await expect(resume(runDir)).rejects.toThrow(/expected a checkpoint in .*found none/);
  });

  test('settings that change the result are refused, all of them listed', async () => {
    await copy();
    const given = { lr: 0.1, batchSize: 8, seed: 4, epochs: 2, workers: 4, keep: 9, momentum: 0.9 };
    const attempt = resume(runDir, given);
    await expect(attempt).rejects.toThrow(ConfigError);
    await expect(attempt).rejects.toThrow(
      /batchSize was 4, is 8; lr was 0.02, is 0.1; seed was 3, is 4; epochs was 4, is 2 \(it may/,
    );
  });

  test('other classes, other images and another device are refused', async () => {
    await copy();
    const other = (classes: string[]): Partial<TrainOptions> => ({
      trainDataset: new Colours(27, classes, 1),
      valDataset: new Colours(9, classes, 2),
    });
    await expect(resume(runDir, other(['red', 'blue', 'black']))).rejects.toThrow(
      /classes were red, blue, green, are red, blue, black; the images are not the same/,
    );
    await expect(resume(runDir, other(CLASSES))).rejects.toThrow('the images are not the same');
    expect(await readdir(path.join(runDir, 'checkpoints'))).toContain('last.safetensors');
  });

  test('another run folder cannot be given', async () => {
    await copy();
    await expect(resume(runDir, { out: path.join(dir, 'other') })).rejects.toThrow(
      /expected out to be the folder of the resumed run/,
    );
  });

  test('a finished run says so and changes nothing', async () => {
    const finished = path.join(dir, 'reference');
    const events: TrainEvent[] = [];
    // Imitate a kill in the very last write.
    const left = path.join(finished, '.metrics.jsonl.123.0a1b2c3d.tmp');
    await writeFile(left, 'x');
    // Restore one of the checkpoints that would have been removed after it.
    const checkpoints = path.join(finished, 'checkpoints');
    const names = await readdir(checkpoints);
    const last = path.join(checkpoints, 'last.safetensors');
    await cp(last, path.join(checkpoints, 'step-00000005.safetensors'));
    const result = await train({
      ...{ ...datasets, resume: finished },
      onEvent: (event) => events.push(event),
    });
    await expect(readFile(left)).rejects.toThrow('ENOENT');
    expect(await readdir(checkpoints)).toEqual(names);
    expect(events).toEqual([{ type: 'end', before: true, result }]);
    expect(result).toMatchObject({ runDir: finished, bestEpoch: reference.last.run.best?.epoch });
    expect(await outcome(finished)).toEqual(reference);
  });

  test('leftovers of a killed write are swept', async () => {
    await copy();
    const left = [
      '.metrics.jsonl.123.0a1b2c3d.tmp',
      'checkpoints/.last.safetensors.9.ffffffff.tmp',
    ];
    for (const name of left) await writeFile(path.join(runDir, name), 'x');
    await resume(runDir);
    const names = await readdir(runDir, { recursive: true });
    expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
