/**
 * The long test of WebGPU, `npm run test:webgpu [-- --gpu]`: whole ResNet-18 steps on Chromium's SwiftShader, or
 * on the machine's own GPU, against PyTorch in float64 and the CPU. Prints a table for docs/devices.md; the exit
 * code is 1 if a bound is missed. SwiftShader takes minutes.
 */

import { bundledArtifacts, openArtifacts, type Artifacts } from '../src/artifacts.js';
import { Runtime } from '../src/session.js';
import type { Provider } from '../src/session-protocol.js';
import { vulkanReport } from '../src/vulkan.js';
import { CHROMIUM_ADVICE, findSwiftShader } from './chromium.js';
import { allStepErrors, type StepErrors } from './one-step.js';
import { median, readFixture, type Steps } from './parity-fixtures.js';
import { placements } from './placements.js';

/** As parity.test.ts holds the CPU. */
const LOSS = 1e-5;
const STATISTICS = 1e-4;

const { lr, resnet18 } = readFixture('steps.json') as Steps;
const { cases, torchError } = resnet18;

if (!process.argv.includes('--gpu')) {
  const icd = findSwiftShader();
  if (icd === null) throw new Error(CHROMIUM_ADVICE);
  // The Vulkan loader reads it when the first session is made.
  process.env.VK_ICD_FILENAMES = icd;
}

async function errorsOn(provider: Provider, artifacts: Artifacts): Promise<StepErrors[]> {
  const runtime = new Runtime(provider);
  try {
    return await allStepErrors(runtime, artifacts, lr, resnet18);
  } finally {
    await runtime.close();
  }
}

const rows: [what: string, bound: string, measured: string, holds: boolean][] = [];

function figures(name: string, errors: readonly StepErrors[], bound: number): void {
  const gradient = median(errors.map((error) => error.gradient));
  const loss = Math.max(...errors.map((error) => error.loss));
  const statistics = Math.max(...errors.map((error) => error.statistics));
  const shown = (value: number): string => value.toExponential(1);
  rows.push(
    [
      `${name}: whole gradient, median`,
      `≤ ${shown(bound)}, twice PyTorch float32's`,
      shown(gradient),
      gradient <= bound,
    ],
    [`${name}: worst loss`, `≤ ${shown(LOSS)}`, shown(loss), loss <= LOSS],
    [
      `${name}: worst running statistic`,
      `≤ ${shown(STATISTICS)}`,
      shown(statistics),
      statistics <= STATISTICS,
    ],
  );
}

const artifacts = await openArtifacts(bundledArtifacts());
const began = performance.now();
const errors = await errorsOn('webgpu', artifacts);
const seconds = (performance.now() - began) / 1000;
figures('WebGPU', errors, 2 * torchError);
figures('CPU', await errorsOn('cpu', artifacts), 2 * torchError);

const { WebGpuExecutionProvider: there = {}, ...elsewhere } = await placements(artifacts, 'webgpu');
const sum = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
const outside = Object.values(elsewhere).reduce((total, counts) => total + sum(counts), 0);
const copies = Object.entries(there)
  .filter(([name]) => name.startsWith('Memcpy'))
  .reduce((total, [, count]) => total + count, 0);
const inside = sum(there) - copies;
rows.push([
  'nodes of a step that ran elsewhere, and copies',
  'none',
  `${outside} and ${copies}, beside ${inside}`,
  inside > 0 && outside + copies === 0,
]);

const { devices } = await vulkanReport();
console.log(
  `ResNet-18 at 224x224, one step from random weights in each of ${cases.length} cases (batch 1, 3, 4; 2 and 10`,
  `classes), relative to PyTorch float64; ${devices.map(({ name }) => name).join(', ') || 'no Vulkan'};`,
  `${seconds.toFixed(0)} s for the WebGPU steps, loading included.\n`,
);
console.log('| what | bound | measured | |\n| --- | --- | --- | --- |');
for (const [what, bound, measured, holds] of rows) {
  console.log(`| ${what} | ${bound} | ${measured} | ${holds ? 'holds' : '**missed**'} |`);
}
process.exitCode = rows.every(([, , , holds]) => holds) ? 0 : 1;
