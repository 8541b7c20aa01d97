/** Loads native libraries, to call them or to see whether the machine has them. */

import { createRequire } from 'node:module';
import type { LibraryHandle } from 'koffi';
import { messageOf } from '../format.js';

const require = createRequire(import.meta.url);

/** A loaded library. It stays loaded: other libraries that need it by name find it then. */
export type Library = LibraryHandle;

/**
 * Loads the package koffi, through which native libraries are called. It is not imported above because it is
 * optional, and training on the CPU needs no library.
 *
 * @throws Error if it is not installed, or cannot be loaded.
 */
export function loadKoffi(): typeof import('koffi') {
  return require('koffi') as typeof import('koffi');
}

/** Returns the library, or says why the system's loader refuses it. */
export function loadLibrary(file: string): Library | string {
  let koffi: ReturnType<typeof loadKoffi>;
  try {
    koffi = loadKoffi();
  } catch {
    return 'cannot be tried without the package koffi; run "npm install koffi"';
  }
  try {
    return koffi.load(file);
  } catch (error) {
    return messageOf(error)
      .replace(/^Failed to load shared library: /, '')
      .trim();
  }
}
