/** Loading shared libraries, to see whether the machine has them. */

import { createRequire } from 'node:module';
import type { LibraryHandle } from 'koffi';

const require = createRequire(import.meta.url);

/** A loaded library stays loaded: others that need it by name find it then. */
export type Library = LibraryHandle;

/** @returns the library, or why the system's loader refuses it. */
export function loadLibrary(file: string): Library | string {
  let koffi: typeof import('koffi');
  try {
    // Not imported above: it is an optional package, and the CPU needs no library.
    koffi = require('koffi') as typeof import('koffi');
  } catch {
    return 'cannot be tried without the package koffi; run "npm install koffi"';
  }
  try {
    return koffi.load(file);
  } catch (error) {
    return String(error)
      .replace(/^(Error: )?Failed to load shared library: /, '')
      .trim();
  }
}
