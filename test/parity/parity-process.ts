/**
 * Computes parts of parity.test.ts and gpu-graphs.test.ts in a process of its own; prints JSON.
 *
 *     node dist/test/parity/parity-process.js steps            errors of row 3's ResNet-18 steps
 *     node dist/test/parity/parity-process.js webgpu SEED      row 8's twenty steps on WebGPU: distance from
 *                                                              float64, and where the operators ran
 *     node dist/test/parity/parity-process.js settings FREEZE  SGD's settings on WebGPU: distances from float64
 *
 * Under jest, drawing eleven million random weights takes five times as long. The Vulkan loader reads its
 * environment only once, and a driver that crashes must not end the tests.
 */

import { bundledArtifacts } from '../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { OrtWorker } from '../../src/session/ort-worker.js';
import { allStepErrors } from './one-step.js';
import { readFixture, type Steps, type TrajectoryFixture } from './parity-fixtures.js';
import { placements } from './placements.js';
import { distanceFrom, twentySteps } from './provider-steps.js';
import { sgd, sgdDistance, sgdSteps } from './sgd-cases.js';
import { TINY } from '../support/paths.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';

const [command, argument] = process.argv.slice(2);

async function steps(runtime: OrtWorker): Promise<unknown> {
  const { lr, resnet18 } = readFixture('steps.json') as Steps;
  return allStepErrors(runtime, await openArtifacts(bundledArtifacts()), lr, resnet18);
}

async function webgpu(runtime: OrtWorker): Promise<unknown> {
  const fixture = readFixture('trajectories.json') as TrajectoryFixture;
  const expected = fixture.cases.find((one) => one.seed === Number(argument));
  if (!expected) throw new Error(`no references of seed ${String(argument)}`);
  const artifacts = await openArtifacts(TINY);
  const found = await twentySteps(runtime, artifacts, fixture, expected.seed);
  const distance = distanceFrom(artifacts, expected, found);
  return { distance, placements: await placements(artifacts, 'webgpu') };
}

async function settings(runtime: OrtWorker): Promise<unknown> {
  const artifacts = await openArtifacts(TINY);
  const found = [];
  for (const one of sgd.cases.filter(({ freeze }) => freeze === argument)) {
    found.push(sgdDistance(artifacts, one, await sgdSteps(runtime, artifacts, one, one)));
  }
  return found;
}

const commands: Readonly<Record<string, (runtime: OrtWorker) => Promise<unknown>>> = {
  steps,
  webgpu,
  settings,
};
const run = commands[command ?? ''];
if (run === undefined) throw new Error(`expected a command, got ${String(command)}`);
const runtime = new OrtWorker(nodePlatform.ort, command === 'steps' ? 'cpu' : 'webgpu');
try {
  console.log(JSON.stringify(await run(runtime)));
} finally {
  await runtime.close();
}
