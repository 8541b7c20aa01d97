/** The command `setup-cuda`. */

import { resolveOptions } from '../config/options.js';
import { Validator } from '../config/validator.js';
import { checkLines } from './doctor.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { printLine } from './output/output.js';

const OPTIONS = {
  wheel: {
    kind: 'text',
    expected: 'a wheel',
    shownDefault: 'downloaded with pip',
    help: 'wheel of onnxruntime-gpu, of the version of onnxruntime-node',
  },
  libraries: {
    kind: 'text',
    expected: 'a folder of libraries',
    value: 'DIR',
    shownDefault: "the system's own",
    help: 'folder to search for CUDA and cuDNN libraries',
  },
} as const;

export const SETUP_CUDA: Command = {
  describe: 'Put the CUDA provider beside onnxruntime-node (Linux on x86-64)',
  options: OPTIONS,
  run: setupCudaCommand,
};

/** @returns the exit code: 1 if a library is missing. */
async function setupCudaCommand(given: Arguments): Promise<number> {
  const options = resolveOptions(OPTIONS, optionsFrom(OPTIONS, given), new Validator('flag'));
  const { setupCuda } = await import('../devices/setup-cuda.js');
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
