/** Paths of the repository's folders and programs, for the compiled tests. */

import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the repository. Compiled tests lie in dist/test/FOLDER/, three levels below it. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const FIXTURES = path.join(ROOT, 'test', 'fixtures', path.sep);
/** Artifacts of a network with a few thousand parameters. */
export const TINY = path.join(FIXTURES, 'tiny', path.sep);
/** The bundled sample images: `train/CLASS/*` and `val/CLASS/*`. */
export const SAMPLES = path.join(ROOT, 'samples', 'textures', path.sep);
/** The compiled command line. */
export const CLI = path.join(ROOT, 'dist', 'src', 'cli.js');

/** Returns the path of a compiled test program, such as `support/mpi-cli`. */
export function testProgram(name: string): string {
  return path.join(ROOT, 'dist', 'test', `${name}.js`);
}
