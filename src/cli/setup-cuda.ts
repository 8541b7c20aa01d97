/** The command `setup-cuda`. */

import { Validator } from '../config/validator.js';
import { checkLines } from './doctor.js';
import type { Arguments, Flag } from './flags.js';
import { printLine } from './output.js';

export const SETUP_CUDA_FLAGS: Readonly<Record<string, Flag>> = {
  wheel: {
    describe: 'Wheel of onnxruntime-gpu, of the version of onnxruntime-node',
    shownDefault: 'downloaded with pip',
  },
  libraries: {
    describe: 'Folder to search for CUDA and cuDNN libraries',
    shownDefault: "the system's own",
  },
};

/** @returns the exit code: 1 if a library is missing. */
export async function setupCudaCommand(given: Arguments): Promise<number> {
  const validator = new Validator('flag');
  const text = (name: 'wheel' | 'libraries', what: string): Record<string, string> =>
    given[name] === undefined ? {} : { [name]: validator.text(name, what, given[name]) };
  const { setupCuda } = await import('../devices/setup-cuda.js');
  const options = { ...text('wheel', 'a wheel'), ...text('libraries', 'a folder of libraries') };
  const checks = await setupCuda({ ...options, onLine: printLine });
  for (const line of checkLines(checks)) printLine(line);
  const missing = checks.filter(({ problem }) => problem !== null);
  if (missing.length === 0) {
    printLine('Everything that CUDA needs is there; "npm run doctor" tries the GPU');
    return 0;
  }
  printLine(`Missing: ${missing.map(({ name }) => name).join(', ')}`);
  return 1;
}
