/** Reads and writes the coded bits of JPEG files. */

/** Longest code in bits. */
const LONGEST = 16;

/**
 * Returns the symbol and the length of the code that each 16 bits begin with, as `symbol << 8 | length`; 0 for none.
 *
 * @param lengths number of codes of 1 to 16 bits.
 * @param symbols symbols in the order of their codes.
 */
export function lookupTable(lengths: Uint8Array, symbols: Uint8Array): Uint16Array {
  const table = new Uint16Array(2 ** LONGEST);
  let [code, next] = [0, 0];
  for (let bits = 1; bits <= LONGEST; bits++) {
    for (let i = 0; i < (lengths[bits - 1] ?? 0); i++) {
      const from = code << (LONGEST - bits);
      table.fill(((symbols[next] ?? 0) << 8) | bits, from, from + 2 ** (LONGEST - bits));
      code++;
      next++;
    }
    code <<= 1;
  }
  return table;
}

/** Reads the bits of a scan, without the zeros that follow bytes of ones. */
export class BitReader {
  #at = 0;
  /** Bits that were read from the data and not taken yet, and how many. */
  #bits = 0;
  #count = 0;
  /** How many of these are not in the data, but stand behind its end. */
  #missing = 0;

  constructor(private readonly data: Uint8Array) {}

  /** Takes up to 16 bits. @throws Error at the end of the data. */
  take(count: number): number {
    this.#fill();
    this.#count -= count;
    if (this.#count < this.#missing)
      throw new Error('expected more bits, found the end of the scan');
    return (this.#bits >>> this.#count) & ((1 << count) - 1);
  }

  /** Takes a code, writes it to a file, and returns its symbol. @throws Error if it is none. */
  symbol(table: Uint16Array | undefined, file: BitWriter): number {
    this.#fill();
    const found = table?.[(this.#bits >>> (this.#count - LONGEST)) & 0xffff] ?? 0;
    const length = found & 255;
    if (length === 0) throw new Error('expected a code, found none');
    file.put(this.take(length), length);
    return found >> 8;
  }

  /** Passes a restart marker and returns its second byte. @throws Error if there is none. */
  restart(): number {
    this.#bits = this.#count = this.#missing = 0;
    const marker = this.data[this.#at + 1] ?? 0;
    if (this.data[this.#at] !== 0xff || marker < 0xd0 || marker > 0xd7) {
      throw new Error('expected a restart marker');
    }
    this.#at += 2;
    return marker;
  }

  /** Reads until 16 bits are there. */
  #fill(): void {
    while (this.#count < LONGEST) {
      const byte = this.data[this.#at] ?? 0;
      const isMarker = byte === 0xff && this.data[this.#at + 1] !== 0;
      const isEnd = isMarker || this.#at >= this.data.length;
      if (isEnd) this.#missing += 8;
      else this.#at += byte === 0xff ? 2 : 1;
      this.#bits = ((this.#bits & 0xffff) << 8) | (isEnd ? 0 : byte);
      this.#count += 8;
    }
  }
}

/** Writes a file. */
export class BitWriter {
  readonly #file: Uint8Array<ArrayBuffer>;
  #at = 0;
  #bits = 0;
  #count = 0;

  /** @param size most bytes of the file. */
  constructor(size: number) {
    this.#file = new Uint8Array(size);
  }

  /** Writes bytes as they are, from a whole byte on. */
  raw(bytes: readonly number[] | Uint8Array): void {
    this.#file.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Writes up to 16 bits, with a zero after each byte of ones. */
  put(value: number, count: number): void {
    this.#bits = (this.#bits << count) | value;
    this.#count += count;
    while (this.#count >= 8) {
      this.#count -= 8;
      const byte = (this.#bits >>> this.#count) & 255;
      this.#file[this.#at++] = byte;
      if (byte === 0xff) this.#file[this.#at++] = 0;
    }
    this.#bits &= (1 << this.#count) - 1;
  }

  /** Fills the last byte up with ones. */
  align(): void {
    if (this.#count > 0) this.put((1 << (8 - this.#count)) - 1, 8 - this.#count);
  }

  /** Returns the file. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#file.slice(0, this.#at);
  }
}
