/** The command `doctor`. */

import { DeviceError } from '../common/errors.js';
import { messageOf } from '../common/format.js';
import { runApart, type Answered } from '../common/node/run-apart.js';
import { boolean, resolveOptions } from '../config/options.js';
import { Validator } from '../config/validator.js';
import type { Check } from '../devices/cuda.js';
import type { Diagnosis } from '../devices/doctor.js';
import type { Findings } from './doctor-probe.js';
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
  const diagnosis = await diagnoseApart(given.verbose === true);
  const json = (): string[] => JSON.stringify(diagnosis, null, 1).split('\n');
  for (const line of given.json === true ? json() : diagnosisLines(diagnosis)) printLine(line);
  const asked = diagnosis.devices.find(({ device }) => device === wanted);
  return asked?.usable === false ? 1 : 0;
}

/** Milliseconds after which the diagnosis is given up, because drivers may hang. */
const TIMEOUT_MS = 180_000;

/**
 * Diagnoses in a process of its own (doctor-probe.ts).
 *
 * @param verbose whether to show what libraries print to standard error.
 * @throws DeviceError if that process does not come to an end, with its last words.
 */
async function diagnoseApart(verbose: boolean): Promise<Diagnosis> {
  let answered: Answered;
  try {
    answered = await runApart(new URL('./doctor-probe.js', import.meta.url), [], TIMEOUT_MS);
  } catch (cause) {
    const expected = 'expected to examine the devices in a process of its own';
    const message = `${expected}, found that ${messageOf(cause)}; check the GPU drivers`;
    throw new DeviceError(message, { cause });
  }
  if (verbose) process.stderr.write(answered.stderr);
  const findings = answered.value as Findings;
  if ('failed' in findings) throw new DeviceError(findings.failed);
  return findings;
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
