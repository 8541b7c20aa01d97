/** Loading shared libraries, to see whether the machine has them. */

import koffi from 'koffi';

/** A loaded library stays loaded: others that need it by name find it then. */
export type Library = ReturnType<typeof koffi.load>;

/** @returns the library, or why the system's loader refuses it. */
export function loadLibrary(file: string): Library | string {
  try {
    return koffi.load(file);
  } catch (error) {
    return String(error)
      .replace(/^(Error: )?Failed to load shared library: /, '')
      .trim();
  }
}
