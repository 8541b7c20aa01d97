/** Settings from a file: the config.json of an earlier run, or one made by hand. */

import { readFileSync } from 'node:fs';
import { TRAIN_DEFAULTS, type TrainOptions } from './train-options.js';
import { ConfigError } from '../common/errors.js';

/** What a run's config.json holds beside settings; of no account to another run. */
const FACTS = ['classes', 'provider', 'out', 'customDataset'];

/**
 * The settings in a JSON file, by the names of the options; not yet checked.
 *
 * @throws ConfigError if the file is missing, no JSON object, or knows a setting that does not exist.
 */
export function readConfigFile(file: string): Partial<Record<keyof TrainOptions, unknown>> {
  const refuse = (found: string): ConfigError =>
    new ConfigError(
      `expected a JSON object of settings (as config.json in a run folder) in ${file}, found ${found}; check the file`,
    );
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw refuse((cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no file' : String(cause));
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('something that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse('no object');
  const known = [...Object.keys(TRAIN_DEFAULTS), 'data', 'arch', 'artifacts'];
  const settings: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(value)) {
    if (known.includes(name)) settings[name] = setting;
    else if (!FACTS.includes(name)) throw refuse(`the setting ${JSON.stringify(name)}`);
  }
  // A run's config.json has both; the folder says more.
  if (settings.artifacts !== undefined) delete settings.arch;
  return settings;
}
