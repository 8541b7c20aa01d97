/** Long proofs, one after the other: a line for each. */

import { execFileSync } from 'node:child_process';

/** A claim and how it is shown. */
export interface Check {
  readonly name: string;
  /** @returns what was found, in a few words. @throws where the claim does not hold, or {@link Skipped}. */
  readonly run: () => Promise<string>;
}

/** Cannot be shown on this machine. */
export class Skipped extends Error {}

/** Shows each claim and prints its line. @returns whether none fails. */
export async function showAll(proofs: Iterable<Check> | AsyncIterable<Check>): Promise<boolean> {
  let [held, failed, skipped] = [0, 0, 0];
  for await (const { name, run } of proofs) {
    const began = performance.now();
    let line: string;
    try {
      line = `holds    ${name}: ${await run()}`;
      held++;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const verdict = error instanceof Skipped ? 'skipped ' : 'FAILED  ';
      if (error instanceof Skipped) skipped++;
      else failed++;
      line = `${verdict} ${name}: ${reason}`;
    }
    const seconds = (performance.now() - began) / 1000;
    process.stdout.write(`${line} (${seconds.toFixed(0)} s)\n`);
  }
  process.stdout.write(`${held} hold, ${failed} failed, ${skipped} skipped\n`);
  return failed === 0;
}

/**
 * Which of `tools` this machine lacks, for {@link Skipped}; null if none.
 *
 * @param tools programs, or files that match a path.
 * @param packages those of Debian that have them.
 */
export function whyNotWith(tools: readonly string[], packages: string): string | null {
  const missing = tools.filter((tool) => {
    try {
      const look = tool.includes('/') ? 'ls' : 'command -v';
      execFileSync('sh', ['-c', `${look} ${tool}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  return missing.length === 0 ? null : `needs ${missing.join(', ')} (Debian: ${packages})`;
}
