/** Answers the findings of `doctor`. It runs in a process of its own (run-apart.ts). */

import { UserError } from '../common/errors.js';
import { answer } from '../common/node/run-apart.js';
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

answer(await examine());
