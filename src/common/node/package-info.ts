/** The npm package this code is part of: its folder, name and version. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of the package's folder: the repository's root, or its place in `node_modules`. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

/**
 * Reads name and version from a package.json.
 *
 * @param file absolute path; default: this package's.
 */
export function packageInfo(file = `${PACKAGE_ROOT}package.json`): {
  readonly name: string;
  readonly version: string;
} {
  const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as {
    name: string;
    version: string;
  };
  return { name, version };
}

/**
 * Returns the name and version that files of this package carry.
 *
 * @example
 * producer(); // 'ort-finetune 0.1.0'
 */
export function producer(): string {
  const { name, version } = packageInfo();
  return `${name} ${version}`;
}

/**
 * Reads a text file of this package, such as a style sheet that a page embeds.
 *
 * @param file path below the package's folder. `files` in package.json must list it.
 */
export function packageText(file: string): string {
  return readFileSync(`${PACKAGE_ROOT}${file}`, 'utf8');
}
