/** Tells what a TIFF file holds, by the tags of its first page. */

import { readTiffTags } from './tiff-tags.js';

const TAG = { bits: 258, compression: 259, photometric: 262, sampleFormat: 339 } as const;
const [CIELAB, ICCLAB, ITULAB, YCBCR, LOGL, LOGLUV] = [8, 9, 10, 6, 32844, 32845];
const [OLD_JPEG, JPEG] = [6, 7];
const FLOAT = 3;

/** Compressions that sharp's libtiff lacks, or that need a codec of their own. */
const COMPRESSIONS: Readonly<Record<number, string>> = {
  [OLD_JPEG]: 'old JPEG',
  32766: 'NeXT',
  32809: 'ThunderScan',
  33003: 'JPEG 2000',
  33005: 'JPEG 2000',
  34661: 'JBIG',
  34712: 'JPEG 2000',
  34887: 'LERC',
  34892: 'lossy JPEG (DNG)',
  34925: 'LZMA',
  50002: 'JPEG XL',
  52546: 'JPEG XL',
};

/** Facts about the first page. */
export interface TiffKind {
  /** Words for the kind of pixels, such as `32-bit float TIFF`. */
  readonly name: string;
  /** Bits per level. */
  readonly bits: number;
  /** Why the file is refused; null if it is not. */
  readonly problem: string | null;
}

/** @param bytes the whole file. */
export function tiffKind(bytes: Uint8Array): TiffKind {
  const tags = readTiffTags(bytes);
  const value = (tag: number, missing: number): number => tags?.get(tag)?.[0] ?? missing;
  const bits = value(TAG.bits, 1);
  const isFloat = value(TAG.sampleFormat, 1) === FLOAT;
  const name = `${bits === 8 ? '' : `${bits}-bit `}${isFloat ? 'float ' : ''}TIFF`;
  const problem = problemOf({
    photometric: value(TAG.photometric, 1),
    compression: value(TAG.compression, 1),
    floatBits: isFloat ? bits : null,
  });
  return { name, bits, problem: problem === null ? null : `a ${name} file ${problem}` };
}

interface Pixels {
  readonly photometric: number;
  readonly compression: number;
  /** Bits per level of floating point; null for integers. */
  readonly floatBits: number | null;
}

function problemOf({ photometric, compression, floatBits }: Pixels): string | null {
  if ([CIELAB, ICCLAB, ITULAB].includes(photometric)) return 'in Lab colours';
  if ([LOGL, LOGLUV].includes(photometric)) return 'in logarithmic colours';
  if (photometric === YCBCR && compression !== JPEG && compression !== OLD_JPEG) {
    // libvips would take the three numbers for red, green and blue.
    return 'in YCbCr colours without JPEG compression';
  }
  const codec = COMPRESSIONS[compression];
  if (codec !== undefined) return `with ${codec} compression`;
  // Pillow, too, reads floating point only as 32-bit gray.
  if (floatBits === null || (floatBits === 32 && photometric <= 1)) return null;
  return 'that is not 32-bit gray';
}
