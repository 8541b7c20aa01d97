/** Reads the files of a tar archive in memory, as npm writes its packages (POSIX ustar). */

const BLOCK = 512;
/** Places of the fields in a header: offset and length in bytes. */
const FIELDS = { name: [0, 100], size: [124, 12], type: [156, 1], prefix: [345, 155] } as const;

/**
 * Returns the regular files by path. Other entries, such as folders and links, are left out.
 *
 * @throws RangeError if the archive ends within a file, or a size is not a number.
 */
export function untar(archive: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let at = 0;
  // Two blocks of zeros end an archive; a header's first byte is that of a name.
  while (at + BLOCK <= archive.length && archive[at] !== 0) {
    const field = ([offset, length]: readonly [number, number]): string => {
      const bytes = archive.subarray(at + offset, at + offset + length);
      return new TextDecoder().decode(bytes).split('\0', 1)[0] ?? '';
    };
    const size = Number.parseInt(field(FIELDS.size), 8);
    const begin = at + BLOCK;
    if (!Number.isSafeInteger(size) || begin + size > archive.length) {
      throw new RangeError(`a tar archive whose file at byte ${at} is cut off`);
    }
    const prefix = field(FIELDS.prefix);
    const type = field(FIELDS.type);
    if (type === '0' || type === '') {
      const name = field(FIELDS.name);
      files.set(prefix === '' ? name : `${prefix}/${name}`, archive.subarray(begin, begin + size));
    }
    at = begin + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
