/**
 * Trains a rank on its part of a folder of images and saves its batches, so that PyTorch can train on them, too:
 * `mpirun -np N node epochs.js SPEC.json`. Makes one run per seed. scripts/parity/ddp.py is the Python half.
 */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import { ImageFolder } from '../../../src/data/folders/image-folder.js';
import { DdpTrainSession } from '../../../src/distributed/ddp-session.js';
import { trainLoneEpoch } from '../../../src/train/train-epoch.js';
import { writeFileAtomic } from '../../../src/common/node/atomic-file.js';
import { launchInfoFromEnv } from '../../../src/distributed/launcher.js';
import type { Batch } from '../../../src/data/batch.js';
import { DataLoader } from '../../../src/data/data-loader.js';
import { encodeSafetensors } from '../../../src/weights/safetensors.js';
import { stepLr } from '../../../src/train/lr-schedule.js';
import { OrtWorker } from '../../../src/session/ort-worker.js';
import { float32Tensor, MOMENTUM_PREFIX, type Tensor } from '../../../src/common/tensor.js';
import { initialState } from '../../../src/platform/node/defaults.js';
import { MpiProcessGroup } from '../../../src/distributed/mpi-process-group.js';
import { WAYS } from '../../support/rank-steps.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

/** Settings of the comparison: written by ddp.ts, read here and by scripts/parity/ddp.py. */
export interface Spec {
  readonly arch: string;
  readonly artifacts: string;
  readonly data: string;
  /** Folder for the files `SEED-RANK.safetensors`. */
  readonly folder: string;
  readonly ranks: number;
  readonly seeds: readonly number[];
  readonly classes: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly gamma: number;
  readonly momentum: number;
  /** Quantity that Python compares; not used here. */
  readonly compare: 'gradients' | 'trajectories';
}

/** Passes batches on and records them as `images.I`, `labels.I` and `indices.I`. */
async function* recorded(
  batches: AsyncIterable<Batch>,
  side: number,
  found: Map<string, Tensor>,
): AsyncGenerator<Batch> {
  for await (const batch of batches) {
    const { images, labels, indices } = batch;
    const number = [...found.keys()].filter((name) => name.startsWith('labels.')).length;
    found.set(`images.${number}`, float32Tensor([labels.length, 3, side, side], images.slice()));
    found.set(`labels.${number}`, int64(labels));
    found.set(`indices.${number}`, int64(indices));
    yield batch;
  }
}

function int64(values: Int32Array | Uint32Array): Tensor {
  const data = BigInt64Array.from(values, BigInt);
  return { dtype: 'int64', shape: [data.length], data };
}

const spec = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as Spec;
const launch = launchInfoFromEnv();
if (launch === null) throw new Error('expected an MPI launcher, found none');
const group = await MpiProcessGroup.open(launch);
const { rank, size: ranks } = group;
const artifacts = await openArtifacts(spec.artifacts);
const { inputSize } = artifacts.manifest.preprocessing;
const dataset = await ImageFolder.open(spec.data);
const { classes, batchSize, momentum } = spec;
const runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
const session = await DdpTrainSession.open({
  group,
  runtime,
  artifacts,
  classes,
  settings: WAYS.plain,
});

for (const seed of spec.seeds) {
  const start = { weights: 'random', classes, seed };
  await session.setState((await initialState(artifacts, start)).state);
  const options = {
    artifacts,
    images: nodePlatform.images,
    dataset,
    batchSize,
    seed,
    workers: 1,
    shard: { rank, ranks },
  };
  const loader = new DataLoader({ ...options, mode: 'train' });
  const found = new Map<string, Tensor>();
  const losses: number[] = [];
  const stepping: Pick<DdpTrainSession, 'step'> = {
    async step(chunk) {
      const result = await session.step(chunk);
      losses.push(...result.losses);
      if (losses.length > 1) return result;
      // The momentum starts at zero, so after one step it is the gradient.
      for (const [name, tensor] of await session.getState()) {
        if (name.startsWith(MOMENTUM_PREFIX)) found.set(`first.${name}`, tensor);
      }
      return result;
    },
  };
  for (let epoch = 0; epoch < spec.epochs; epoch++) {
    const batches = recorded(loader.epoch(epoch), inputSize, found);
    await trainLoneEpoch({
      session: stepping,
      batches,
      loader,
      stepsPerExecution: 1,
      classes,
      settings: { lr: stepLr(epoch, { ...spec, stepSize: 1 }), momentum, weightDecay: 0 },
    });
  }
  await loader.close();
  for (const [name, tensor] of await session.getState()) found.set(`state.${name}`, tensor);
  found.set('losses', float32Tensor([losses.length], Float32Array.from(losses)));
  await writeFileAtomic(
    path.join(spec.folder, `${seed}-${rank}.safetensors`),
    encodeSafetensors(found),
  );
}
group.abortOnExit = false;
await runtime.close();
