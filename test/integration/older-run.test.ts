/** Resumes, evaluates and exports run folders of earlier versions with this version. */

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PhaseRecord, TrainEvent } from '../../src/common/events.js';
import { describeModel } from '../../src/inference/model-file.js';
import { exportInference, train } from '../../src/index.js';
import { readSafetensors } from '../../src/platform/node/defaults.js';
import { FIXTURES, SAMPLES, TINY } from '../support/paths.js';

const FIXTURE = path.join(FIXTURES, 'run-0.1.0');
/** Each run, stopped in the middle of an epoch, and the same run without the stop. */
const RUNS = [
  { name: 'run-0.1.0', stopped: { epoch: 1, step: 10, batch: 4 } },
  {
    name: 'runs/tiny-0.2.0',
    stopped: { epoch: 0, step: 4, batch: 4 },
  },
];
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'older-run-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

async function records(file: string): Promise<PhaseRecord[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as PhaseRecord);
}

test.each(RUNS)('$name ends as the run that was not stopped', async (older) => {
  const fixture = path.join(FIXTURES, older.name);
  const run = path.join(dir, path.basename(fixture));
  await cp(path.join(fixture, 'run'), run, { recursive: true });
  const events: TrainEvent[] = [];
  const result = await train({
    resume: run,
    data: SAMPLES,
    artifacts: TINY,
    onEvent: (event) => events.push(event),
  });
  expect(events.find((event) => event.type === 'start')?.resumed).toMatchObject(older.stopped);
  const [found, expected] = [
    await records(path.join(run, 'metrics.jsonl')),
    await records(path.join(fixture, 'whole-metrics.jsonl')),
  ];
  // The steps after the stop may have run on another processor than the fixture's, so their last digits may differ.
  for (const [index, record] of expected.entries()) {
    const { seconds, dataWaitSeconds, loss, ...exact } = record;
    const { seconds: took, dataWaitSeconds: waited, loss: foundLoss, ...rest } = found[index] ?? {};
    expect(rest).toEqual(exact);
    expect(Object.keys(found[index] ?? {})).toEqual(Object.keys(record));
    expect([typeof took, typeof waited]).toEqual([typeof seconds, typeof dataWaitSeconds]);
    expect(Math.abs((foundLoss ?? NaN) - loss)).toBeLessThan(1e-4);
  }
  expect(found).toHaveLength(expected.length);
  expect(result.bestAccuracy).toBe(1);

  const ours = await readSafetensors(path.join(run, 'predictions-last.safetensors'));
  const theirs = await readSafetensors(path.join(fixture, 'whole-predictions.safetensors'));
  expect([...ours.metadata]).toEqual([...theirs.metadata]);
  const logits = ours.tensors.get('logits')?.data as Float32Array;
  (theirs.tensors.get('logits')?.data as Float32Array).forEach((value, index) => {
    expect(Math.abs((logits[index] ?? NaN) - value)).toBeLessThan(1e-3);
  });
});

test('it is resumed on its own images although this version would take more', async () => {
  const run = path.join(dir, 'again');
  const data = path.join(dir, 'data');
  await cp(path.join(FIXTURE, 'run'), run, { recursive: true });
  await cp(SAMPLES, data, { recursive: true });
  const image = path.join(SAMPLES, 'val', 'brick', 'brick-09.jpg');
  await cp(image, path.join(data, 'train', 'brick', 'one-more.jfif'));
  await cp(path.join(SAMPLES, 'val'), path.join(data, 'Validation'), { recursive: true });
  const warnings: string[] = [];
  const onEvent = (event: TrainEvent): void => {
    if (event.type === 'warning') warnings.push(event.message);
  };
  const { bestAccuracy } = await train({ resume: run, data, artifacts: TINY, onEvent });
  expect(bestAccuracy).toBe(1);
  expect(warnings.join()).toContain('the run goes on with the images');
});

test('it is exported, and the file gives the same top classes', async () => {
  const out = path.join(dir, 'model.onnx');
  const exported = await exportInference({
    run: path.join(dir, path.basename(FIXTURE)),
    checkpoint: 'best',
    out,
    data: SAMPLES,
    artifacts: TINY,
  });
  expect(exported.file).toBe(out);
  expect(exported.replay).toMatchObject({ images: 40, differing: 0 });
  // Version 0.1.0 ignored the orientation in EXIF.
  expect([exported.exif, describeModel(out, await readFile(out)).exif]).toEqual([
    'ignore',
    'ignore',
  ]);
});
