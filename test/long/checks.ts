/** Runs long checks one after the other, and prints a line for each. */

import { execFileSync } from 'node:child_process';

/** A long check: its name says what must hold. */
export interface Check {
  readonly name: string;
  /** @returns the result in a few words. @throws an error if the check fails; {@link Skipped} if it cannot run. */
  readonly run: () => Promise<string>;
}

/** Thrown by a check that cannot run on this machine. */
export class Skipped extends Error {}

/** Runs each check and prints its line. @returns true if none fails. */
export async function runChecks(checks: Iterable<Check> | AsyncIterable<Check>): Promise<boolean> {
  let [held, failed, skipped] = [0, 0, 0];
  for await (const { name, run } of checks) {
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
 * Returns a message for {@link Skipped} that names the tools this machine lacks; null if it has all.
 *
 * @param tools programs, or patterns of file paths.
 * @param packages Debian packages that contain the tools.
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
