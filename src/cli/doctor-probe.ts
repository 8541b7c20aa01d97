/**
 * Prints the findings of `doctor` as JSON. It runs in a process of its own: drivers and loaders print to standard error
 * what is not meant for people, and a broken one must not end the command.
 */

import { UserError } from '../common/errors.js';
import { diagnose, type Diagnosis } from '../devices/doctor.js';
import { nodePlatform } from '../platform/node/node-platform.js';

/** The findings, or the reason why there are none. */
export type Findings = Diagnosis | { readonly failed: string };

async function examine(): Promise<Findings> {
  try {
    return await diagnose(nodePlatform);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { failed: error.message };
  }
}

process.stdout.write(JSON.stringify(await examine()));
