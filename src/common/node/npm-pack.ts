/** Downloads npm packages with npm, so that the user's own registry, proxy and certificates are used. */

import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { codeOf, messageOf } from '../format.js';

/** npm cannot be run, or does not deliver the package. The message completes "expected npm to …, ". */
export class NpmError extends Error {
  override readonly name = 'NpmError';
}

/**
 * Downloads the archive of a package. Nothing of the package is run.
 *
 * @param requirement name and version: `NAME@VERSION`.
 * @param folder existing folder for the archive; it must hold no other.
 * @returns the path of the archive.
 * @throws NpmError if there is no npm, or it fails.
 */
export async function npmPack(requirement: string, folder: string): Promise<string> {
  const [program, ...words] = npmProgram();
  const args = [...words, 'pack', requirement, '--pack-destination', folder];
  const manner = ['--ignore-scripts', '--prefer-offline', '--loglevel=error', '--fetch-retries=1'];
  const options = { env: process.env, shell: program.endsWith('.cmd') };
  try {
    await promisify(execFile)(program, [...args, ...manner], options);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new NpmError('found no npm', { cause });
    const { stderr = '' } = cause as { readonly stderr?: string };
    const [, code] = /^npm (?:error|ERR!) code (\w+)/m.exec(stderr) ?? [];
    const [line = messageOf(cause)] = stderr.split('\n').filter((text) => text.trim() !== '');
    throw new NpmError(`failed with ${code ?? line}`, { cause });
  }
  const found = (await readdir(folder)).find((name) => name.endsWith('.tgz'));
  if (found === undefined) throw new NpmError('it wrote no archive');
  return path.join(folder, found);
}

/** Returns the command line of npm: of the one that runs this program, if there is one. */
function npmProgram(): [string, ...string[]] {
  const { npm_execpath: running = '' } = process.env;
  if (path.basename(running) === 'npm-cli.js') return [process.execPath, running];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
}
