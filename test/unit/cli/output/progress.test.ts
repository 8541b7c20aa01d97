import { describe, expect, test } from '@jest/globals';
import type { PhaseRecord, StepEvent, TrainEvent } from '../../../../src/common/events.js';
import { Progress, fetchText, phaseLine, stepLine } from '../../../../src/cli/output/progress.js';
import { JsonProgress } from '../../../../src/cli/output/json-progress.js';
import { TimeLeft } from '../../../../src/cli/output/eta.js';

const ESCAPE = '\u001B';

const step = (over: Partial<StepEvent> = {}): StepEvent => ({
  type: 'step',
  epoch: 2,
  epochs: 25,
  phase: 'train',
  batch: 30,
  batches: 60,
  loss: 0.51234,
  accuracy: 0.75,
  imagesPerSecond: 11.94,
  ...over,
});

const record = (over: Partial<PhaseRecord> = {}): PhaseRecord => ({
  epoch: 1,
  phase: 'val',
  loss: 0.25,
  accuracy: 0.9,
  lr: 0.001,
  images: 40,
  seconds: 4,
  dataWaitSeconds: 1,
  ...over,
});

/** A run of two epochs as a screen of that kind would receive it. */
function shown(output: { isTTY?: boolean; columns?: number }, env = {}): string {
  let text = '';
  let clock = 0;
  const write = (part: string): void => void (text += part);
  const progress = new Progress({ ...output, write }, { env, now: () => clock });
  const events: TrainEvent[] = [
    { type: 'fetch', receivedBytes: 10, totalBytes: 1e6 },
    { type: 'fetch', receivedBytes: 20, totalBytes: 1e6 },
    { type: 'fetch', receivedBytes: 1e6, totalBytes: 1e6 },
    {
      type: 'start',
      device: 'cpu',
      deviceReason: 'asked for',
      classes: ['ants', 'bees'],
      trainImages: 244,
      valImages: 152,
      weightsSource: 'random, seed 0',
      runDir: 'runs/x',
    },
  ];
  for (const epoch of [1, 2]) {
    for (const phase of ['train', 'val'] as const) {
      for (const batch of [1, 2]) events.push(step({ epoch, epochs: 2, phase, batch, batches: 2 }));
      events.push({ type: 'phase', record: record({ epoch, phase, accuracy: 0.9 - epoch / 10 }) });
    }
  }
  events.push({
    type: 'end',
    result: {
      runDir: 'runs/x',
      bestEpoch: 1,
      bestAccuracy: 0.8,
      bestLoss: 0.25,
      checkpoint: 'runs/x/checkpoints/best.safetensors',
    },
  });
  for (const event of events) {
    clock += 1000;
    progress.handle(event);
  }
  return text;
}

describe('formatting', () => {
  test('received bytes, with and without a known size', () => {
    expect(fetchText(23.4e6, 46.8e6)).toBe('23.4 of 46.8 MB (50%)');
    expect(fetchText(23.4e6, null)).toBe('23.4 MB');
  });

  test('a pass: losses, accuracy, lr, speed and the share of time spent waiting', () => {
    expect(phaseLine(record(), 25, true)).toBe(
      'Epoch 1/25  val    loss 0.2500  accuracy 90.0%  lr 0.001  10.0 images/s  ' +
        '25.0% waiting for data  4s  best so far',
    );
  });

  test('a pass that took no time divides by nothing', () => {
    expect(phaseLine(record({ seconds: 0, dataWaitSeconds: 0 }), null)).toContain('0.0 images/s');
  });
});

describe('the live line', () => {
  test('epoch, batches, loss, accuracy, speed and time left', () => {
    const line = stepLine(step(), 125, 120);
    expect(line).toMatch(
      /^Epoch 2\/25 train █+░+ 30\/60 {2}loss 0.5123 {2}accuracy 75.0% {2}11.9 images\/s {2}2m 05s left$/,
    );
  });

  test.each([120, 80, 60, 40, 10, 1])('fits %d columns', (columns) => {
    expect(stepLine(step(), 125, columns).length).toBeLessThan(columns);
  });
});

describe('time left', () => {
  const train = { epochs: 2, epoch: 1, batches: 10 };
  const val = { ...train, phase: 'val', batches: 5 } as const;

  test('counts the batches of both kinds of pass that are still to come', () => {
    const left = new TimeLeft(100);
    // 1 s a training batch; 8 + 10 to come; how long validation takes is not known yet.
    expect(left.update(step({ ...train, batch: 2 }), 102)).toBeCloseTo(18);
    expect(left.update(step({ ...train, batch: 10 }), 110)).toBeCloseTo(10);
    // 0.5 s a validation batch: 3 + 5 of them, and 10 training batches.
    expect(left.update(step({ ...val, batch: 2 }), 111)).toBeCloseTo(10 + 4);
    expect(left.update(step({ ...val, batch: 5 }), 112.5)).toBeCloseTo(10 + 2.5);
    expect(left.update(step({ ...train, epoch: 2, batch: 1 }), 113.5)).toBeCloseTo(9 + 2.5);
    left.update(step({ ...train, epoch: 2, batch: 10 }), 122.5);
    expect(left.update(step({ ...val, epoch: 2, batch: 5 }), 125)).toBe(0);
  });

  test('is the same when several batches are reported at once', () => {
    const left = new TimeLeft(0);
    for (const batch of [1, 2, 3]) left.update(step({ ...train, batch }), 6);
    expect(left.update(step({ ...train, batch: 4 }), 6)).toBeCloseTo(1.5 * 16);
  });
});

describe('where output is no terminal', () => {
  const text = shown({});

  test('there are no control codes', () => {
    expect(text).not.toContain('\r');
    expect(text).not.toContain(ESCAPE);
  });

  test('each pass is one line, the best validation is marked, the end says where things are', () => {
    expect(text.split('\n').filter((line) => line.startsWith('Epoch '))).toHaveLength(4);
    expect(text.match(/best so far/g)).toHaveLength(1);
    expect(text).toContain('Best validation accuracy 80.0% (loss 0.2500, epoch 1)');
    expect(text).toContain('runs/x/checkpoints/best.safetensors');
    expect(text).toContain('Device   cpu (asked for)');
    expect(text).toContain('Classes  2: ants, bees');
  });

  test('fetching prints a line a quarter, not one a chunk', () => {
    expect(text.match(/Fetching/g)).toHaveLength(2);
  });
});

describe('in a terminal', () => {
  test('the live line is redrawn in place and gone at the end', () => {
    const text = shown({ isTTY: true, columns: 100 });
    expect(text).toContain('\rEpoch 1/2 train ');
    const last = text.slice(text.lastIndexOf('\r'));
    expect(last.startsWith(`\r${ESCAPE}[K`)).toBe(true);
    expect(text).toContain(`${ESCAPE}[32m`);
  });

  test('NO_COLOR leaves no colours, an empty one does not count', () => {
    expect(shown({ isTTY: true }, { NO_COLOR: '1' })).not.toContain(`${ESCAPE}[32m`);
    expect(shown({ isTTY: true }, { NO_COLOR: '' })).toContain(`${ESCAPE}[32m`);
  });

  test('a dumb terminal gets plain lines', () => {
    expect(shown({ isTTY: true }, { TERM: 'dumb' })).not.toContain(ESCAPE);
  });

  test('many steps a second are not all drawn', () => {
    let writes = 0;
    let clock = 0;
    const output = { isTTY: true, columns: 80, write: (): number => writes++ };
    const progress = new Progress(output, { env: {}, now: () => clock });
    for (let batch = 1; batch <= 1000; batch++, clock += 1) {
      progress.handle(step({ batch, batches: 1000 }));
    }
    expect(writes).toBeLessThanOrEqual(11);
  });
});

test('for programs: events as lines of JSON, those of progress once a second', () => {
  const lines: string[] = [];
  let clock = 0;
  const output = { write: (text: string): number => lines.push(text) };
  const progress = new JsonProgress(output, () => clock);
  for (let done = 0; done <= 2500; done++, clock += 1) {
    progress.handle({ type: 'preflight', done, total: 2500 });
  }
  progress.handle({ type: 'warning', message: 'x' });
  for (let batch = 1; batch <= 100; batch++, clock += 1) {
    progress.handle(step({ batch, batches: 100 }));
  }
  const events = lines.map((line) => JSON.parse(line) as TrainEvent);
  expect(events.map((event) => ('done' in event ? event.done : event.type))).toEqual([
    ...[0, 1000, 2000, 'warning', 'step'],
  ]);
  expect(events.at(-1)).toEqual(step({ batch: 100, batches: 100 }));
  for (const line of lines) expect(line).toMatch(/^[^\n]+\n$/);
});
