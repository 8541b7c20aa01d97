/** Compares ranks with PyTorch's DistributedDataParallel (gloo), on the same images, crops and flips. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { bundledArtifacts } from '../../../src/artifacts/node/bundled-artifacts.js';
import type { Spec } from './epochs.js';
import { runJob, type Launcher } from '../../support/mpi-job.js';
import type { Check } from '../checks.js';
import { ROOT, TINY, testProgram } from '../../support/paths.js';

const SAMPLES = path.join(ROOT, 'samples', 'textures', 'train');
/** Images per class. Their sum is odd, so that the ranks' parts are padded. */
const IMAGES = { brick: 18, gravel: 17 };

interface Distance {
  readonly losses: number;
  readonly weights: number;
  readonly statistics: number;
}

interface Checks {
  readonly sampler: boolean;
  readonly sameWeights: boolean;
  readonly steps: number;
}

type Gradients = Checks & Readonly<Record<'ours' | 'torch' | 'apart', number>>;
type Trajectories = Checks &
  Readonly<Record<'ours' | 'torch' | 'oursExact' | 'torchExact', Distance>>;

/** Trains on `ranks` ranks, then in PyTorch. Returns the comparison that scripts/parity/ddp.py prints. */
async function compare(
  launcher: Launcher,
  wanted: Pick<Spec, 'arch' | 'artifacts' | 'ranks' | 'seeds' | 'epochs' | 'compare'>,
): Promise<unknown> {
  const folder = await mkdtemp(path.join(tmpdir(), 'ddp-'));
  try {
    const data = path.join(folder, 'data');
    for (const [name, count] of Object.entries(IMAGES)) {
      await mkdir(path.join(data, name), { recursive: true });
      const files = (await readdir(path.join(SAMPLES, name))).sort().slice(0, count);
      for (const file of files)
        await cp(path.join(SAMPLES, name, file), path.join(data, name, file));
    }
    const settings = { classes: 2, batchSize: 4, lr: 0.001, gamma: 0.1, momentum: 0.9 };
    const spec: Spec = { ...settings, ...wanted, data, folder };
    const file = path.join(folder, 'spec.json');
    await writeFile(file, JSON.stringify(spec));
    const given = [testProgram('long/mpi/epochs'), file];
    const { code, stderr } = await runJob(launcher, wanted.ranks, given);
    assert.equal(code, 0, stderr);
    const words = [path.join(ROOT, 'scripts', 'python.mjs'), '-m', 'scripts.parity.ddp', file];
    const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: ROOT });
    return JSON.parse(stdout);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function assertShared({ sampler, sameWeights }: Checks): void {
  assert.ok(sampler, 'expected the parts of DistributedSampler, got others');
  assert.ok(sameWeights, 'expected the same weights on all ranks, to the bit');
}

const shown = (value: number): string => value.toExponential(1);

/** Returns the checks against DDP. @param seeds number of seeds for the twenty steps of ResNet-18. */
export function ddpChecks(launcher: Launcher, seeds: number): Check[] {
  const few = Array.from({ length: seeds }, (_, seed) => seed);
  const many = Array.from({ length: 16 }, (_, seed) => seed);
  const firstGradients = [2, 4].map((ranks) => ({
    name: `${ranks} ranks: averaged gradients of the first step as DDP's, to float32 rounding (tiny network)`,
    async run() {
      const one = { arch: 'tiny', artifacts: TINY, epochs: 1, compare: 'gradients' } as const;
      const found = (await compare(launcher, { ...one, ranks, seeds: many })) as Gradients;
      assertShared(found);
      const figures =
        `${shown(found.ours)} from float64 where DDP is ${shown(found.torch)} from it (medians of ${many.length} ` +
        `seeds); at most ${shown(found.apart)} from each other`;
      assert.ok(
        found.ours <= 2 * found.torch,
        `expected at most twice DDP's own error, got ${figures}`,
      );
      return figures;
    },
  }));
  const networks = [
    { arch: 'tiny', artifacts: TINY, seeds: many, called: 'the tiny network' },
    { arch: 'resnet18', artifacts: bundledArtifacts(), seeds: few, called: 'ResNet-18' },
  ];
  const twentySteps = networks.map(({ called, ...network }) => ({
    name: `two ranks: twenty steps of ${called} within twice DDP's own spread (one thread against two)`,
    async run() {
      const job = { ...network, ranks: 2, epochs: 4, compare: 'trajectories' } as const;
      const found = (await compare(launcher, job)) as Trajectories;
      assertShared(found);
      assert.equal(found.steps, 20);
      const { ours, torch, oursExact, torchExact } = found;
      const names = ['losses', 'weights', 'statistics'] as const;
      const figures = names
        .map(
          (name) =>
            `${name} ${shown(ours[name])} against ${shown(torch[name])} (from float64: ` +
            `${shown(oursExact[name])} and ${shown(torchExact[name])})`,
        )
        .join(', ');
      const text = `${figures}, medians of ${network.seeds.length} seeds`;
      const holds = names.every((name) => ours[name] <= 2 * torch[name]);
      assert.ok(holds, `expected at most twice, got ${text}`);
      return text;
    },
  }));
  return [...firstGradients, ...twentySteps];
}
