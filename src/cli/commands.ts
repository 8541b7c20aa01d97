/** The commands of the program by name, in the order of `--help`. */

import { DEMO } from './demo.js';
import { DOCTOR } from './doctor.js';
import { EVALUATE } from './evaluate.js';
import { EXPORT } from './export-inference.js';
import { FIND_LR } from './find-lr.js';
import type { Command } from './flags.js';
import { PREDICT } from './predict.js';
import { SETUP_CUDA } from './setup-cuda.js';
import { SETUP_WEIGHTS } from './setup-weights.js';
import { TRAIN } from './train.js';

export const COMMANDS: Readonly<Record<string, Command>> = {
  train: TRAIN,
  'find-lr': FIND_LR,
  'export-inference': EXPORT,
  evaluate: EVALUATE,
  predict: PREDICT,
  doctor: DOCTOR,
  'setup-cuda': SETUP_CUDA,
  'setup-weights': SETUP_WEIGHTS,
  demo: DEMO,
};
