/**
 * Runs a command of the command line from a clone: `node scripts/run.mjs train --data DIR`.
 *
 * npm's install scripts are off here (.npmrc), so `npm ci` does not compile the TypeScript. This program
 * compiles it if dist/ is missing or older than a source, then runs the result in this process. If there is
 * nothing to compile, it prints nothing and takes a few milliseconds. `node scripts/run.mjs build` only compiles.
 *
 * npm runs this program in the clone's root, whatever folder the user called it in. Relative paths are the user's, so
 * the command runs in that folder.
 */

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  realpathSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = path.join(root, 'dist', 'src', 'cli.js');
// The time of this file is the start of the last successful compilation. The times of tsc's output will not do,
// because tsc does not rewrite files that stay the same.
const stamp = path.join(root, 'dist', '.compiled');

/** Returns the time of the newest change in ms. Folders count, because they show deleted files. */
function newest(entry) {
  const { mtimeMs } = statSync(entry);
  const children = statSync(entry).isDirectory() ? readdirSync(entry) : [];
  return Math.max(mtimeMs, ...children.map((child) => newest(path.join(entry, child))));
}

function upToDate() {
  if (!existsSync(cli) || !existsSync(stamp)) return false;
  const sources = ['src', 'tsconfig.json', 'package-lock.json'];
  const changed = Math.max(...sources.map((source) => newest(path.join(root, source))));
  return changed <= statSync(stamp).mtimeMs;
}

function compile() {
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(compiler)) {
    console.error(`error: expected the packages in node_modules, found none; run "npm ci" first`);
    process.exit(1);
  }
  console.error('Compiling the TypeScript sources');
  const began = new Date();
  const { status } = spawnSync(process.execPath, [compiler, '-b', root], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) {
    console.error('error: expected the sources to compile, but they do not (see above)');
    process.exit(1);
  }
  writeFileSync(stamp, '');
  utimesSync(stamp, began, began);
}

/** Goes to the folder in which the user called npm, if npm has started this program. */
function enterCallersFolder() {
  const { INIT_CWD: folder, npm_lifecycle_script: script = '' } = process.env;
  // Programs that npm's scripts start have these variables, too; they choose a folder themselves.
  const byNpm = script.includes('scripts/run.mjs') && realpathSync('.') === realpathSync(root);
  if (!byNpm || folder === undefined) return;
  try {
    process.chdir(folder);
  } catch ({ message }) {
    console.error(
      `error: expected to run in ${folder}, where npm was called, failed with ${message}`,
    );
    process.exit(1);
  }
}

if (process.argv[2] === 'build') {
  compile();
} else {
  if (!upToDate()) compile();
  enterCallersFolder();
  process.argv[1] = cli;
  await import(pathToFileURL(cli).href);
}
