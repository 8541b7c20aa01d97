/** The command `doctor`. */

import { ConfigError } from '../common/errors.js';
import type { Check } from '../devices/cuda.js';
import type { Diagnosis } from '../devices/doctor.js';
import type { Arguments, Flag } from './flags.js';
import { printLine } from './output.js';

export const DOCTOR_FLAGS: Readonly<Record<string, Flag>> = {
  device: {
    describe: 'Exit with 1 unless this one can be used: cpu, cuda or webgpu',
    shownDefault: 'none',
  },
  json: { describe: 'Print the findings as JSON', boolean: true },
};

/** @returns the exit code: 1 if `--device` names a device that cannot be used. */
export async function doctorCommand(given: Arguments): Promise<number> {
  const { diagnose } = await import('../devices/doctor.js');
  const wanted = given.device;
  const known: unknown[] = ['cpu', 'cuda', 'webgpu'];
  if (wanted !== undefined && !known.includes(wanted)) {
    throw new ConfigError(
      `expected --device to be one of ${known.join(', ')}, got ${JSON.stringify(wanted)}`,
    );
  }
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const diagnosis = await diagnose(nodePlatform.ort);
  if (given.json === true) printLine(JSON.stringify(diagnosis, null, 1));
  else for (const line of diagnosisLines(diagnosis)) printLine(line);
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
