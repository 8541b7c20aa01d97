/** Frees decoded images in time: their memory is outside the heap, so V8 alone would let several large ones pile up. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { GARBAGE_BYTES } from '../../images/limits.js';
import type { ImageDecoder } from '../platform.js';

let collectGarbage: (() => void) | undefined;

/** Wraps a decoder: garbage is collected before an image is decoded if the earlier ones take much memory. */
export function collecting(decode: ImageDecoder['decode']): ImageDecoder['decode'] {
  let since = 0;
  return async (...parameters) => {
    if (since >= GARBAGE_BYTES) {
      since = 0;
      collect();
    }
    const image = await decode(...parameters);
    since += image.data.byteLength;
    return image;
  };
}

function collect(): void {
  if (!collectGarbage) {
    setFlagsFromString('--expose-gc');
    collectGarbage = runInNewContext('gc') as () => void;
  }
  collectGarbage();
}
