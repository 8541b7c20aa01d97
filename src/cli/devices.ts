/** The commands `doctor` and `setup-cuda`. */

import { Validator } from '../config/train-options.js';
import { ConfigError } from '../common/errors.js';
import type { Arguments, Flag } from './flags.js';
import { nodePlatform } from '../platform/node/node-platform.js';

export const DOCTOR_FLAGS: Readonly<Record<string, Flag>> = {
  device: {
    describe: 'Exit with 1 unless this one can be used: cpu, cuda or webgpu',
    shownDefault: 'none',
  },
  json: { describe: 'Print the findings as JSON', boolean: true },
};

export const SETUP_CUDA_FLAGS: Readonly<Record<string, Flag>> = {
  wheel: {
    describe: 'Wheel of onnxruntime-gpu, of the version of onnxruntime-node',
    shownDefault: 'downloaded with pip',
  },
  libraries: {
    describe: 'Folder with CUDA and cuDNN libraries to use, searched through',
    shownDefault: "the system's own",
  },
};

type Say = (line: string) => void;

/** @returns the exit code. */
export async function doctorCommand(given: Arguments, say: Say): Promise<number> {
  const { diagnose, diagnosisLines } = await import('../devices/doctor.js');
  const wanted = given.device;
  const known: unknown[] = ['cpu', 'cuda', 'webgpu'];
  if (wanted !== undefined && !known.includes(wanted)) {
    throw new ConfigError(
      `expected --device to be one of ${known.join(', ')}, got ${JSON.stringify(wanted)}`,
    );
  }
  const diagnosis = await diagnose(nodePlatform.ort);
  if (given.json === true) say(JSON.stringify(diagnosis, null, 1));
  else for (const line of diagnosisLines(diagnosis)) say(line);
  const asked = diagnosis.devices.find(({ device }) => device === wanted);
  return asked?.usable === false ? 1 : 0;
}

/** @returns the exit code: 1 where a library is missing. */
export async function setupCudaCommand(given: Arguments, say: Say): Promise<number> {
  const validator = new Validator('flag');
  const text = (name: 'wheel' | 'libraries', what: string): Record<string, string> =>
    given[name] === undefined ? {} : { [name]: validator.text(name, what, given[name]) };
  const { setupCuda } = await import('../devices/setup-cuda.js');
  const { checkLines } = await import('../devices/doctor.js');
  const options = { ...text('wheel', 'a wheel'), ...text('libraries', 'a folder of libraries') };
  const checks = await setupCuda({ ...options, onLine: say });
  for (const line of checkLines(checks)) say(line);
  const missing = checks.filter(({ problem }) => problem !== null);
  if (missing.length === 0) {
    say('Everything that CUDA needs is there; "npm run doctor" tries the GPU');
    return 0;
  }
  say(`Missing: ${missing.map(({ name }) => name).join(', ')}`);
  return 1;
}
