/**
 * Splits a JPEG file in CMYK into two that have three components each: cyan, magenta and yellow, and black. A browser
 * decodes these as they are, but turns CMYK into RGB with its own rounding.
 *
 * The coded bits of a block do not depend on those of other components, so they are copied as they are. The file of black
 * gets two empty components, which make it a gray image in YCbCr.
 */

import { BitReader, BitWriter, lookupTable } from './jpeg-bits.js';

export interface CmykPlanes {
  readonly colours: Uint8Array<ArrayBuffer>;
  readonly black: Uint8Array<ArrayBuffer>;
  /** Whether the levels of {@link colours} are ink, and not 255 less ink. Black is always 255 less ink. */
  readonly isInk: boolean;
}

interface Component {
  readonly id: number;
  readonly h: number;
  readonly v: number;
  readonly isBlack: boolean;
}

interface Frame {
  readonly components: readonly Component[];
  readonly mcus: number;
}

/** Files under way. */
interface State {
  readonly colours: BitWriter;
  readonly black: BitWriter;
  readonly dc: Uint16Array[];
  readonly ac: Uint16Array[];
  frame: Frame | null;
  restartInterval: number;
  transform: number | null;
}

const [SOI, EOI, SOS, DQT, DHT, DRI, APP0, APP14] = [
  0xd8, 0xd9, 0xda, 0xdb, 0xc4, 0xdd, 0xe0, 0xee,
];
/** `Adobe`, and the low and high byte of the version of its marker. */
const ADOBE = [0x41, 0x64, 0x6f, 0x62, 0x65, 0, 100];
/** Baseline, extended and progressive frames in Huffman code. */
const FRAMES = [0xc0, 0xc1, 0xc2];
/** Number of the Huffman tables for empty components, of which the only code is one bit: nothing but zeros. */
const EMPTY = 3;
const EMPTY_TABLES = [0x00, 0x10].flatMap((kind) => [
  kind + EMPTY,
  1,
  ...Array<number>(15).fill(0),
  0,
]);

/** Returns the two files; null for a file that is not in CMYK as Adobe's programs write it, or that is damaged. */
export function splitCmyk(jpeg: Uint8Array): CmykPlanes | null {
  const size = 2 * jpeg.length + 2 ** 16;
  const state: State = {
    ...{ colours: new BitWriter(size), black: new BitWriter(size), dc: [], ac: [] },
    ...{ frame: null, restartInterval: 0, transform: null },
  };
  try {
    toBoth(state, [0xff, SOI]);
    let at = 2;
    for (;;) {
      while (jpeg[at] === 0xff && jpeg[at + 1] === 0xff) at++;
      const marker = jpeg[at + 1] ?? EOI;
      if (jpeg[at] !== 0xff) return null;
      if (marker === EOI) break;
      const length = ((jpeg[at + 2] ?? 0) << 8) | (jpeg[at + 3] ?? 0);
      const content = jpeg.subarray(at + 4, at + 2 + length);
      at += 2 + length;
      if (marker === SOS) at = copyScan(state, jpeg, content, at);
      else if (!copySegment(state, marker, content)) return null;
    }
    toBoth(state, [0xff, EOI]);
  } catch {
    // A damaged file: the browser's own decoder has the word.
    return null;
  }
  const { colours, black, frame, transform } = state;
  if (frame === null || transform === null) return null;
  return { colours: colours.bytes(), black: black.bytes(), isInk: transform === 2 };
}

function toBoth({ colours, black }: State, bytes: readonly number[] | Uint8Array): void {
  colours.raw(bytes);
  black.raw(bytes);
}

function segment(marker: number, content: readonly number[] | Uint8Array): number[] {
  const length = content.length + 2;
  return [0xff, marker, length >> 8, length & 255, ...content];
}

/** Copies a segment that is not a scan, as far as it concerns a file. @returns false if the file is not split. */
function copySegment(state: State, marker: number, content: Uint8Array): boolean {
  if (FRAMES.includes(marker)) return copyFrame(state, marker, content);
  const isTable = marker === DQT || marker === DHT || marker === DRI;
  if (marker === DHT) readTables(state, content);
  if (marker === DRI) state.restartInterval = ((content[0] ?? 0) << 8) | (content[1] ?? 0);
  if (isTable) toBoth(state, segment(marker, content));
  const isAdobe = String.fromCharCode(...content.subarray(0, 5)) === 'Adobe';
  if (marker === APP14 && isAdobe) state.transform = content[11] ?? 0;
  // Other frames, and what belongs to arithmetic coding.
  return isTable || marker >= APP0;
}

function readTables({ dc, ac }: State, content: Uint8Array): void {
  for (let at = 0; at < content.length;) {
    const kind = content[at] ?? 0;
    const lengths = content.subarray(at + 1, at + 17);
    const symbols = lengths.reduce((sum, count) => sum + count, 0);
    const number = kind & 15;
    if (number >= EMPTY) throw new Error('a table that black needs');
    (kind < 16 ? dc : ac)[number] = lookupTable(lengths, content.subarray(at + 17));
    at += 17 + symbols;
  }
}

function copyFrame(state: State, marker: number, content: Uint8Array): boolean {
  const [bits, , , , , count] = content;
  const { transform } = state;
  if (state.frame !== null || bits !== 8 || count !== 4) return false;
  if (transform !== 0 && transform !== 2) return false;
  const parts = [0, 1, 2, 3].map((i) => [...content.subarray(6 + 3 * i, 9 + 3 * i)]);
  const components = parts.map(([id = 0, sampling = 0], i): Component => ({
    ...{ id, h: sampling >> 4, v: sampling & 15, isBlack: i === 3 },
  }));
  const most = (side: 'h' | 'v', some: readonly Component[]): number =>
    Math.max(...some.map((one) => one[side]));
  for (const side of ['h', 'v'] as const) {
    // Otherwise the blocks of a file would lie in another order than here.
    const all = most(side, components);
    if (components[3]?.[side] !== all || most(side, components.slice(0, 3)) !== all) return false;
  }
  const sideOf = (at: number): number => ((content[at] ?? 0) << 8) | (content[at + 1] ?? 0);
  const across = (pixels: number, side: 'h' | 'v'): number =>
    Math.ceil(pixels / (8 * most(side, components)));
  state.frame = { components, mcus: across(sideOf(1), 'v') * across(sideOf(3), 'h') };
  const head = [...content.subarray(0, 5), 3];
  const [, , , black = []] = parts;
  const empty = emptyIds(components).map((id) => [id, 0x11, black[2] ?? 0]);
  const adobe = (value: number): number[] => segment(APP14, [...ADOBE, 0, 0, 0, 0, value]);
  state.colours.raw(adobe(transform === 2 ? 1 : 0));
  state.colours.raw(segment(marker, [...head, ...parts.slice(0, 3).flat()]));
  state.black.raw(adobe(1));
  state.black.raw(segment(DHT, EMPTY_TABLES));
  state.black.raw(segment(marker, [...head, ...black, ...empty.flat()]));
  return true;
}

/** Returns the ids of the empty components: two that black does not have. */
function emptyIds(components: readonly Component[]): number[] {
  return components.slice(0, 2).map(({ id }) => id);
}

/** A component in a scan, and the tables of its codes. */
interface Part extends Component {
  readonly tables: number;
}

/** Copies a scan to the files that it concerns. @returns the offset behind it. */
function copyScan(state: State, jpeg: Uint8Array, head: Uint8Array, start: number): number {
  const { frame } = state;
  if (frame === null) throw new Error('a scan before its frame');
  const [count = 0] = head;
  const parts = Array.from({ length: count }, (_, i): Part => {
    const one = frame.components.find(({ id }) => id === head[1 + 2 * i]);
    if (one === undefined) throw new Error('a scan of an unknown component');
    return { ...one, tables: head[2 + 2 * i] ?? 0 };
  });
  const rest = head.subarray(1 + 2 * count);
  let end = start;
  while (end < jpeg.length && !isMarker(jpeg, end)) end++;
  const data = jpeg.subarray(start, end);
  const black = parts.filter(({ isBlack }) => isBlack);
  const colours = parts.filter(({ isBlack }) => !isBlack);
  const [first] = black;
  if (count === 1) {
    // The empty components would have no scan at all.
    if (first !== undefined && rest[0] === 0) throw new Error('a scan of black alone');
    const file = first === undefined ? state.colours : state.black;
    file.raw(segment(SOS, head));
    file.raw(data);
    return end;
  }
  const wordsOf = (some: readonly Part[]): number[] =>
    some.flatMap(({ id, tables }) => [id, tables]);
  if (colours.length > 0) {
    state.colours.raw(segment(SOS, [colours.length, ...wordsOf(colours), ...rest]));
  }
  if (first !== undefined) {
    const empty = emptyIds(frame.components).flatMap((id) => [id, (EMPTY << 4) | EMPTY]);
    state.black.raw(segment(SOS, [3, ...wordsOf(black), ...empty, ...rest]));
  }
  copyBlocks(state, frame.mcus, { parts, data, rest });
  return end;
}

/** Whether a marker that ends a scan is at an offset. */
function isMarker(jpeg: Uint8Array, at: number): boolean {
  const next = jpeg[at + 1] ?? 0;
  return jpeg[at] === 0xff && next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7);
}

interface Scan {
  readonly parts: readonly Part[];
  readonly data: Uint8Array;
  /** Range of coefficients, and the bits of them that are in the scan. */
  readonly rest: Uint8Array;
}

/** Copies the blocks of an interleaved scan. */
function copyBlocks(state: State, mcus: number, { parts, data, rest }: Scan): void {
  const { colours, black, restartInterval, dc, ac } = state;
  const [, last = 63, approximation = 0] = rest;
  const isRefinement = approximation >> 4 > 0;
  const reader = new BitReader(data);
  const hasBlack = parts.some(({ isBlack }) => isBlack);
  const files = [
    ...(hasBlack ? [black] : []),
    ...(parts.every((one) => one.isBlack) ? [] : [colours]),
  ];
  for (let mcu = 0; mcu < mcus; mcu++) {
    if (restartInterval > 0 && mcu > 0 && mcu % restartInterval === 0) {
      const marker = [0xff, reader.restart()];
      for (const file of files) {
        file.align();
        file.raw(marker);
      }
    }
    for (const { h, v, isBlack, tables } of parts) {
      const file = isBlack ? black : colours;
      const [first, others] = [dc[tables >> 4], last > 0 ? ac[tables & 15] : null];
      for (let block = 0; block < h * v; block++) {
        if (isRefinement) file.put(reader.take(1), 1);
        else copyBlock(reader, file, first, others);
      }
    }
    // Each of the two empty components has one block: a zero, and the end of the block.
    if (hasBlack) black.put(0, isRefinement || last === 0 ? 2 : 4);
  }
  for (const file of files) file.align();
}

/** @param ac table of the coefficients after the first; null if the scan has none. */
function copyBlock(
  reader: BitReader,
  file: BitWriter,
  dc: Uint16Array | undefined,
  ac: Uint16Array | undefined | null,
): void {
  const bits = reader.symbol(dc, file);
  file.put(reader.take(bits), bits);
  if (ac === null) return;
  for (let k = 1; k < 64; k++) {
    const symbol = reader.symbol(ac, file);
    const more = symbol & 15;
    const run = symbol >> 4;
    if (more === 0 && run < 15) return;
    k += run;
    file.put(reader.take(more), more);
  }
}
