/** Settings from a file: the config.json of an earlier run, or a file made by hand. */

import { readFileSync } from 'node:fs';
import { SETTINGS } from './train-settings.js';
import type { TrainOptions } from './train-options.js';
import { ConfigError } from '../common/errors.js';
import { messageOf } from '../common/format.js';
import { decodeJson } from '../common/json.js';

/** Keys of a run's config.json that are results of the run, and not settings for another one. */
const FACTS = ['classes', 'provider', 'out', 'customDataset'];

/**
 * Reads the settings in a JSON file, by the names of the options; they are not checked yet.
 *
 * @throws ConfigError if the file is missing, is not a JSON object, or has an unknown setting.
 */
export function readConfigFile(file: string): Partial<Record<keyof TrainOptions, unknown>> {
  const refuse = (found: string): ConfigError =>
    new ConfigError(
      `expected a JSON object of settings (as config.json in a run folder) in ${file}, found ${found}; check the file`,
    );
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw refuse((cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no file' : String(cause));
  }
  let value: unknown;
  try {
    value = decodeJson(bytes);
  } catch (cause) {
    throw refuse(messageOf(cause));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse('no object');
  const known = [...Object.keys(SETTINGS), 'data', 'arch', 'inputSize', 'artifacts'];
  const settings: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(value)) {
    if (known.includes(name)) settings[name] = setting;
    else if (!FACTS.includes(name)) throw refuse(`the setting ${JSON.stringify(name)}`);
  }
  // A run's config.json has both; the artifact folder determines the network.
  if (settings.artifacts !== undefined) delete settings.arch;
  return settings;
}
