/** Runs the project's TypeScript compiler on another project. */

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ROOT } from './paths.js';

/** Returns the exit code of `tsc` in a folder with a tsconfig.json, and what it printed. */
export function typeCheck(project: string): { status: number | null; stdout: string } {
  const compiler = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [compiler], {
    cwd: project,
    encoding: 'utf8',
  });
  return { status, stdout };
}
