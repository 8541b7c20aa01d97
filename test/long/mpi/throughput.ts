/** Measures several ranks: their throughput, the two graphs of a step, and all-reduces. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { bundledArtifacts } from '../../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import { SINGLE_PROCESS } from '../../../src/distributed/process-group.js';
import { DdpTrainSession } from '../../../src/distributed/ddp-session.js';
import type { PhaseRecord } from '../../../src/common/events.js';
import { Philox } from '../../../src/common/philox.js';
import { OrtWorker } from '../../../src/session/ort-worker.js';
import { TrainSession, type StackedBatches } from '../../../src/session/train-session.js';
import { initialState } from '../../../src/platform/node/defaults.js';
import { environment, runJob, type Launcher } from '../../support/mpi-job.js';
import { median } from '../../parity/parity-fixtures.js';
import { WAYS } from '../../support/rank-steps.js';
import { CLI, SAMPLES, testProgram } from '../../support/paths.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

const BATCH = 4;
/** Sample images per class. */
const IMAGES = { train: 24, val: 2 };

/** Throughput of two ranks with one thread each, and of one rank with two threads. */
export interface Throughput {
  readonly batch: number;
  readonly rounds: number;
  /** Images per second, median over the rounds. */
  readonly oneRank: number;
  readonly twoRanks: number;
  /** Median of the ratios of the rounds. */
  readonly ratio: number;
  /** Share of the epoch that the two ranks spent in all-reduce, which includes waiting for each other. */
  readonly allReduceShare: number;
}

/** Trains ResNet-18 for two epochs on sample images. Returns the record of the second. */
async function secondEpoch(command: string, words: readonly string[]): Promise<PhaseRecord> {
  const folder = await mkdtemp(path.join(tmpdir(), 'scaling-'));
  try {
    const out = path.join(folder, 'run');
    for (const [split, count] of Object.entries(IMAGES)) {
      for (const name of await readdir(path.join(SAMPLES, split))) {
        const files = (await readdir(path.join(SAMPLES, split, name))).sort().slice(0, count);
        for (const file of files) {
          const inside = path.join(split, name, file);
          await cp(path.join(SAMPLES, inside), path.join(folder, 'data', inside));
        }
      }
    }
    const data = [
      '--data',
      path.join(folder, 'data'),
      '--out',
      out,
      '--weights',
      'random',
      '--device',
      'cpu',
    ];
    const given = [...data, '--epochs', '2', '--batch-size', String(BATCH), '--cache', 'ram'];
    const options = { env: environment({ ORT_FINETUNE_CACHE: path.join(folder, 'cache') }) };
    const [before, after] = [words.slice(0, -2), words.slice(-2)];
    const all = [...before, CLI, 'train', ...given, '--quiet', '--workers', '1', ...after];
    await promisify(execFile)(command, all, options);
    const lines = (await readFile(path.join(out, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
    const records = lines.map((line) => JSON.parse(line) as PhaseRecord);
    const found = records.find(({ epoch, phase }) => epoch === 2 && phase === 'train');
    assert.ok(found !== undefined, 'expected a second epoch, found none');
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Measures both ways in turn, `rounds` times. */
export async function measureThroughput(launcher: Launcher, rounds: number): Promise<Throughput> {
  const ones: number[] = [];
  const twos: number[] = [];
  const shares: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const one = await secondEpoch(process.execPath, ['--threads', '2']);
    const ranks = [...launcher.words, '-np', '2', process.execPath];
    const two = await secondEpoch(launcher.command, [...ranks, '--threads', '1']);
    ones.push(one.images / one.seconds);
    twos.push(two.images / two.seconds);
    shares.push((two.allReduceSeconds ?? NaN) / two.seconds);
  }
  return {
    batch: BATCH,
    rounds,
    oneRank: median(ones),
    twoRanks: median(twos),
    ratio: median(twos.map((two, round) => two / (ones[round] ?? NaN))),
    allReduceShare: median(shares),
  };
}

/** Seconds per step with two threads: with the graph for one process, and with the two graphs of a rank. */
export interface StepTimes {
  readonly batch: number;
  readonly single: number;
  readonly pair: number;
}

/** Measures steps without MPI, in a process group of one rank. */
export async function measureSteps(rounds: number): Promise<StepTimes> {
  const artifacts = await openArtifacts(bundledArtifacts());
  const classes = 2;
  const { state } = await initialState(artifacts, { weights: 'random', classes, seed: 0 });
  const runtimes = [
    new OrtWorker(nodePlatform.ort, 'cpu', 2),
    new OrtWorker(nodePlatform.ort, 'cpu', 2),
  ] as const;
  try {
    const single = await TrainSession.create(runtimes[0], artifacts, classes);
    const pair = await DdpTrainSession.open({
      group: SINGLE_PROCESS,
      runtime: runtimes[1],
      artifacts,
      classes,
      settings: WAYS.plain,
    });
    await single.setState(state);
    await pair.setState(state);
    const side = artifacts.manifest.preprocessing.inputSize;
    const random = new Philox(0, 100);
    const pixels = Float32Array.from({ length: BATCH * 3 * side ** 2 }, () => random.normal());
    const chunk = (steps: number): StackedBatches => ({
      steps,
      batchSize: BATCH,
      images: Float32Array.from(
        { length: steps * pixels.length },
        (_, i) => pixels[i % pixels.length] ?? 0,
      ),
      targets: new Float32Array(steps * BATCH * classes).fill(1 / BATCH / classes),
      lr: new Float32Array(steps).fill(1e-3),
      headLr: new Float32Array(steps).fill(1e-3),
      momentum: 0.9,
      weightDecay: 0,
    });
    const STEPS = 8;
    const times = { single: [] as number[], pair: [] as number[] };
    for (let round = 0; round <= rounds; round++) {
      let began = performance.now();
      await single.step(chunk(STEPS));
      const one = (performance.now() - began) / 1000 / STEPS;
      began = performance.now();
      for (let step = 0; step < STEPS; step++) await pair.step(chunk(1));
      const two = (performance.now() - began) / 1000 / STEPS;
      if (round === 0) continue;
      times.single.push(one);
      times.pair.push(two);
    }
    return { batch: BATCH, single: median(times.single), pair: median(times.pair) };
  } finally {
    for (const runtime of runtimes) await runtime.close();
  }
}

/** Time of an all-reduce over two ranks. */
export interface AllReduce {
  readonly bytes: number;
  readonly seconds: number;
}

/** Message sizes in bytes. The largest is the gradients of ResNet-18 with two classes. */
export const SIZES = [64, 65_536, 1_048_576, 4_194_304, 16_777_216, 44_710_152];

export async function measureAllReduce(
  launcher: Launcher,
  sizes: readonly number[] = SIZES,
): Promise<AllReduce[]> {
  const words = [testProgram('long/mpi/timings'), ...sizes.map(String)];
  const { code, stdout, stderr } = await runJob(launcher, 2, words);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as AllReduce[];
}
