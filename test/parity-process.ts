/**
 * A process of its own for parts of parity.test.ts; prints JSON.
 *
 *     node dist/test/parity-process.js steps        errors of row 3's ResNet-18 steps
 *     node dist/test/parity-process.js webgpu SEED  row 8's twenty steps: distance from float64, and where
 *                                                   the operators ran
 *
 * Eleven million random weights are five times as slow to draw under jest. The Vulkan loader reads its
 * environment once, and a driver that crashes must not take the tests with it.
 */

import path from 'node:path';
import { bundledArtifacts, openArtifacts } from '../src/artifacts.js';
import { Runtime } from '../src/session.js';
import { allStepErrors } from './one-step.js';
import { readFixture, type Steps, type TrajectoryFixture } from './parity-fixtures.js';
import { FIXTURES } from './pixel-fixtures.js';
import { placements } from './placements.js';
import { distanceFrom, twentySteps } from './provider-steps.js';

const [command, seed] = process.argv.slice(2);

async function steps(runtime: Runtime): Promise<unknown> {
  const { lr, resnet18 } = readFixture('steps.json') as Steps;
  return allStepErrors(runtime, await openArtifacts(bundledArtifacts()), lr, resnet18);
}

async function webgpu(runtime: Runtime): Promise<unknown> {
  const fixture = readFixture('trajectories.json') as TrajectoryFixture;
  const expected = fixture.cases.find((one) => one.seed === Number(seed));
  if (!expected) throw new Error(`no references of seed ${String(seed)}`);
  const artifacts = await openArtifacts(path.join(FIXTURES, 'tiny'));
  const found = await twentySteps(runtime, artifacts, fixture, expected.seed);
  const distance = distanceFrom(artifacts, expected, found);
  return { distance, placements: await placements(artifacts, 'webgpu') };
}

const runtime = new Runtime(command === 'webgpu' ? 'webgpu' : 'cpu');
try {
  console.log(JSON.stringify(await (command === 'webgpu' ? webgpu : steps)(runtime)));
} finally {
  await runtime.close();
}
