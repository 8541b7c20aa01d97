/**
 * Compares whole ResNet-18 steps on a GPU with PyTorch in float64, and checks that all nodes ran on the GPU:
 * `npm run test:gpu -- [swiftshader|webgpu|cuda] [--quick]`. Needs no Python. The default device is WebGPU on
 * Chromium's SwiftShader, which needs no GPU but a minute or more per image; there are 16 images, or two with `--quick`.
 *
 * Prints a table for docs/devices.md; the exit code is 1 if a bound is missed. Rounding may turn a ReLU on or off,
 * which changes the whole gradient. So the gradient is not judged for the two cases of `--quick`, and even all six
 * cases may miss the bound by chance; `npm run parity:device` judges more cases. The bounds are those of float32: set
 * NVIDIA_TF32_OVERRIDE=0 in the environment to switch CUDA's TF32 off.
 */

import { bundledArtifacts } from '../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { openDevice } from '../../src/devices/choose-device.js';
import { vulkanReport } from '../../src/devices/vulkan.js';
import { CHROMIUM_ADVICE, findSwiftShader } from '../support/chromium.js';
import { allStepErrors, type StepErrors } from '../parity/one-step.js';
import { median, readFixture, type Steps } from '../parity/parity-fixtures.js';
import { placements } from '../parity/placements.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';

/** Bounds that parity.test.ts sets for the CPU. */
const LOSS = 1e-5;
const STATISTICS = 1e-4;

const words = process.argv.slice(2);
const quick = words.includes('--quick');
const [where = 'swiftshader'] = words.filter((word) => word !== '--quick');
const device = where === 'cuda' ? 'cuda' : 'webgpu';
if (where === 'swiftshader') {
  const icd = findSwiftShader();
  if (icd === null) throw new Error(CHROMIUM_ADVICE);
  // The Vulkan loader reads this variable when the first session is created.
  process.env.VK_ICD_FILENAMES = icd;
} else if (where !== device) {
  throw new Error(`expected swiftshader, webgpu or cuda, got ${where}`);
}

const { lr, resnet18 } = readFixture('steps.json') as Steps;
const { torchError } = resnet18;
const cases = resnet18.cases.filter(({ batch }) => !quick || batch === 1);
const artifacts = await openArtifacts(bundledArtifacts());

async function errorsOn(chosen: 'cpu' | 'cuda' | 'webgpu'): Promise<StepErrors[]> {
  const { runtime } = await openDevice(chosen, 0, artifacts, nodePlatform.ort);
  try {
    return await allStepErrors(runtime, artifacts, lr, { ...resnet18, cases });
  } finally {
    await runtime.close();
  }
}

const rows: [what: string, bound: string, measured: string, holds: boolean | null][] = [];

function figures(name: string, errors: readonly StepErrors[]): void {
  const gradient = median(errors.map((error) => error.gradient));
  const loss = Math.max(...errors.map((error) => error.loss));
  const statistics = Math.max(...errors.map((error) => error.statistics));
  const shown = (value: number): string => value.toExponential(1);
  rows.push(
    [
      `${name}: whole gradient, median`,
      `≤ ${shown(2 * torchError)}, twice PyTorch float32's`,
      shown(gradient),
      quick ? null : gradient <= 2 * torchError,
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

const began = performance.now();
figures(device, await errorsOn(device));
const seconds = (performance.now() - began) / 1000;
figures('cpu', await errorsOn('cpu'));

const found = await placements(artifacts, device, quick ? 1 : 2);
const there = found[device === 'cuda' ? 'CUDAExecutionProvider' : 'WebGpuExecutionProvider'] ?? {};
const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
const everywhere = Object.values(found).reduce((total, counts) => total + sum(counts), 0);
const copies = Object.entries(there)
  .filter(([name]) => name.startsWith('Memcpy'))
  .reduce((total, [, count]) => total + count, 0);
const outside = everywhere - sum(there);
const inside = sum(there) - copies;
rows.push([
  `${device}: nodes of a step that ran elsewhere, and copies`,
  'none',
  `${outside} and ${copies}, beside ${inside}`,
  inside > 0 && outside + copies === 0,
]);

const names = (await vulkanReport()).devices.map(({ name }) => name).join(', ');
console.log(
  `ResNet-18 at 224x224, a step from random weights in each of ${cases.length} cases (batch`,
  `${[...new Set(cases.map(({ batch }) => batch))].join(', ')}; 2 and 10 classes), relative to PyTorch float64.`,
  `Vulkan's devices: ${names || 'none'}.`,
  `${seconds.toFixed(0)} s for the steps on ${device}, loading included.\n`,
);
console.log('| what | bound | measured | |\n| --- | --- | --- | --- |');
for (const [what, bound, measured, holds] of rows) {
  const verdict = holds === null ? 'not judged' : holds ? 'holds' : '**missed**';
  console.log(`| ${what} | ${bound} | ${measured} | ${verdict} |`);
}
process.exitCode = rows.some(([, , , holds]) => holds === false) ? 1 : 0;
