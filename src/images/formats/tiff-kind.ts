/** Tells what a TIFF file holds, by the tags of its first page. */

import { patchTiffTags, readTiffTags, type TiffTags } from './tiff-tags.js';

const TAG = {
  width: 256,
  bits: 258,
  compression: 259,
  photometric: 262,
  orientation: 274,
  samples: 277,
  planes: 284,
  tileWidth: 322,
  inkSet: 332,
  extraSamples: 338,
  sampleFormat: 339,
} as const;
const [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR] = [0, 1, 2, 3, 4, 5, 6];
const [CIELAB, ICCLAB, ITULAB, CFA, LINEAR_RAW, LOGL, LOGLUV] = [
  8, 9, 10, 32803, 34892, 32844, 32845,
];
const [OLD_JPEG, JPEG] = [6, 7];
const [UNSIGNED, SIGNED, FLOAT] = [1, 2, 3];
const SEPARATE_PLANES = 2;
/** Most channels that sharp takes. */
const MAX_SAMPLES = 5;

const COLOURS: Readonly<Record<number, string>> = {
  [MASK]: 'that is a mask of transparency',
  [CIELAB]: 'in Lab colours',
  [ICCLAB]: 'in Lab colours',
  [ITULAB]: 'in Lab colours',
  [CFA]: 'with raw colours of a camera',
  [LINEAR_RAW]: 'with raw colours of a camera',
  [LOGL]: 'in logarithmic colours',
  [LOGLUV]: 'in logarithmic colours',
};

/** Compressions that sharp's libtiff reads: none, CCITT, LZW, JPEG, Deflate (two numbers), PackBits and WebP. */
const READ = [1, 2, 3, 4, 5, JPEG, 8, 32773, 32946, 50001];

/** Names of compressions that sharp's libtiff lacks, or that need a codec of their own. */
const COMPRESSIONS: Readonly<Record<number, string>> = {
  [OLD_JPEG]: 'old JPEG',
  32766: 'NeXT',
  32771: 'word-aligned CCITT',
  32809: 'ThunderScan',
  33003: 'JPEG 2000',
  33005: 'JPEG 2000',
  34661: 'JBIG',
  34712: 'JPEG 2000',
  34887: 'LERC',
  34892: 'lossy JPEG (DNG)',
  34925: 'LZMA',
  50000: 'ZSTD',
  50002: 'JPEG XL',
  52546: 'JPEG XL',
};

/** Facts about the first page. */
export interface TiffKind {
  /** Words for the kind of pixels, such as `32-bit float TIFF`. */
  readonly name: string;
  /** Bits per level. */
  readonly bits: number;
  /** Whether levels above 255 become 255, as in Pillow. */
  readonly isCut: boolean;
  /** Whether it has transparency, which is dropped. */
  readonly hasAlpha: boolean;
  /** Why the file is refused; null if it is not. */
  readonly problem: string | null;
}

/** Describes pixels by the tags that matter. */
interface Pixels {
  readonly bits: number;
  readonly format: number;
  readonly photometric: number | null;
  readonly compression: number;
  readonly samples: number;
  readonly isTiledPlanes: boolean;
}

/** @param bytes the whole file. */
export function tiffKind(bytes: Uint8Array): TiffKind {
  const tags = readTiffTags(bytes);
  const pixels = pixelsOf(tags);
  const { bits, format } = pixels;
  const name = `${bits === 8 ? '' : `${bits}-bit `}${format === FLOAT ? 'float ' : ''}TIFF`;
  // Without its size, the directory is cut off. The decoder says so.
  const problem = tags?.has(TAG.width) === true ? problemOf(pixels) : null;
  return {
    name,
    bits,
    isCut: bits === 32,
    hasAlpha: (tags?.get(TAG.extraSamples) ?? []).some((kind) => kind !== 0),
    problem: problem === null ? null : `a ${name} file ${problem}`,
  };
}

function pixelsOf(tags: TiffTags | null): Pixels {
  const value = (tag: number, missing: number): number => tags?.get(tag)?.[0] ?? missing;
  const samples = value(TAG.samples, 1);
  return {
    bits: value(TAG.bits, 1),
    format: value(TAG.sampleFormat, UNSIGNED),
    photometric: tags?.get(TAG.photometric)?.[0] ?? null,
    compression: value(TAG.compression, 1),
    samples,
    isTiledPlanes:
      samples > 1 && value(TAG.planes, 1) === SEPARATE_PLANES && tags?.has(TAG.tileWidth) === true,
  };
}

function problemOf(pixels: Pixels): string | null {
  return colourProblem(pixels) ?? layoutProblem(pixels) ?? levelProblem(pixels);
}

function colourProblem({ photometric, compression, samples }: Pixels): string | null {
  if (photometric === null) {
    return 'that does not say how levels become colours (tag 262, PhotometricInterpretation)';
  }
  const colours = COLOURS[photometric];
  if (colours !== undefined) return colours;
  if (photometric > YCBCR) return `in colours of the unknown kind ${photometric}`;
  if (photometric === YCBCR && compression !== JPEG && compression !== OLD_JPEG) {
    // libvips would take the three numbers for red, green and blue.
    return 'in YCbCr colours without JPEG compression';
  }
  return photometric === CMYK && samples < 4 ? `with ${samples} inks` : null;
}

function layoutProblem({ compression, samples, isTiledPlanes }: Pixels): string | null {
  if (!READ.includes(compression)) {
    const codec = COMPRESSIONS[compression] ?? `unknown (${compression})`;
    return `with ${codec} compression, which is not read (save it with LZW or Deflate)`;
  }
  if (samples > MAX_SAMPLES) return `with ${samples} channels, of which at most 5 are read`;
  return isTiledPlanes ? 'with tiles of separate planes' : null;
}

function levelProblem({ bits, format, photometric, samples }: Pixels): string | null {
  const isGray = samples === 1 && photometric !== null && photometric <= BLACK_IS_ZERO;
  // Pillow, too, reads floating point only as 32-bit gray.
  if (format === FLOAT) return bits === 32 && isGray ? null : 'that is not 32-bit gray';
  if (format > FLOAT && format !== 4) return 'of complex numbers';
  const isOne = samples === 1;
  const allowed = isOne && photometric !== RGB ? [1, 2, 4, 8, 16, 32] : [8, 16, 32];
  if (!allowed.includes(bits)) return 'of a depth that is not read (save it with 8 or 16 bits)';
  // sharp would cut these to 0 and 255, or not invert them; Pillow refuses them.
  const isPlain = isGray && photometric === BLACK_IS_ZERO;
  if (format === SIGNED && !isPlain) return 'of signed levels that is not gray from black to white';
  if (bits === 32 && !isPlain) return 'of 32-bit levels that is not gray from black to white';
  return photometric === PALETTE && bits > 8 ? `with a palette of ${bits} bits` : null;
}

/**
 * Returns the bytes that sharp decodes as Pillow does: a copy with other tags if a tag would mislead it, and else
 * `bytes` themselves.
 */
export function correctedTiff(bytes: Uint8Array): Uint8Array {
  const tags = readTiffTags(bytes);
  const { bits, format, photometric, samples } = pixelsOf(tags);
  const changes = new Map<number, number>();
  const orientation = tags?.get(TAG.orientation)?.[0] ?? 1;
  // libtiff takes other numbers for damage.
  if (orientation < 1 || orientation > 8) changes.set(TAG.orientation, 1);
  // Pillow takes the bits of signed bytes for unsigned ones; sharp would cut half of them.
  if (format === SIGNED && bits === 8 && samples === 1) changes.set(TAG.sampleFormat, UNSIGNED);
  // Pillow does not invert floating point.
  if (format === FLOAT && photometric === WHITE_IS_ZERO)
    changes.set(TAG.photometric, BLACK_IS_ZERO);
  // Pillow takes any four inks for CMYK.
  if (photometric === CMYK && samples >= 4 && (tags?.get(TAG.inkSet)?.[0] ?? 1) !== 1) {
    changes.set(TAG.inkSet, 1);
  }
  return changes.size === 0 ? bytes : patchTiffTags(bytes, changes);
}
