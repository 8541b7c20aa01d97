/** The command `doctor`. */

import { boolean, resolveOptions } from '../config/options.js';
import { Validator } from '../config/validator.js';
import type { Check } from '../devices/cuda.js';
import type { Diagnosis } from '../devices/doctor.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { printLine } from './output/output.js';

const OPTIONS = {
  device: {
    kind: 'choice',
    choices: ['cpu', 'cuda', 'webgpu'],
    value: 'D',
    shownDefault: 'none',
    help: 'exit with 1 unless this device can be used',
    docs: 'exit with 1 unless this device can be used: `cpu`, `cuda` or `webgpu`',
  },
  json: boolean({ help: 'print the findings as JSON' }),
} as const;

export const DOCTOR: Command = {
  describe: 'Show what each device needs and has on this machine',
  options: OPTIONS,
  run: doctorCommand,
};

/** @returns the exit code: 1 if `--device` names a device that cannot be used. */
async function doctorCommand(given: Arguments): Promise<number> {
  const { device: wanted } = resolveOptions(
    OPTIONS,
    optionsFrom(OPTIONS, given),
    new Validator('flag'),
  );
  const { diagnose } = await import('../devices/doctor.js');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const diagnosis = await diagnose(nodePlatform);
  const json = (): string[] => JSON.stringify(diagnosis, null, 1).split('\n');
  for (const line of given.json === true ? json() : diagnosisLines(diagnosis)) printLine(line);
  const asked = diagnosis.devices.find(({ device }) => device === wanted);
  return asked?.usable === false ? 1 : 0;
}

/** Returns the diagnosis as lines for people. */
function diagnosisLines({ runtime, platform, devices, auto }: Diagnosis): string[] {
  const lines = [`onnxruntime-node ${runtime} on ${platform}`];
  for (const { device, usable, software, checks } of devices) {
    const verdict = usable ? (software ? 'works, in software only' : 'works') : 'cannot be used';
    lines.push('', `${device}: ${verdict}`);
    lines.push(...checkLines(checks));
  }
  return [...lines, '', `--device auto takes ${auto}`];
}

/** Returns the checks of a device as lines for people. */
export function checkLines(checks: readonly Check[]): string[] {
  return checks.flatMap(({ name, problem, note }) =>
    problem === null
      ? [`  ok       ${name}: ${note}`]
      : [`  missing  ${name}: ${problem}`, `           ${note}`],
  );
}
