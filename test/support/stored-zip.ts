/** Writes zip archives of stored files, as small as the format allows. */

import { crc32 } from 'node:zlib';

export function storedZip(files: Readonly<Record<string, Uint8Array | string>>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const [name, content] of Object.entries(files)) {
    const data = Buffer.from(content);
    const title = Buffer.from(name);
    // Version, flags, method (stored), time, date, CRC-32, sizes, lengths of name and extra field.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(title.length, 22);
    const entry = [Buffer.from('PK\x03\x04', 'latin1'), common, title, data];
    const where = Buffer.alloc(14);
    where.writeUInt32LE(position, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\0', 'latin1'), common, where, title);
    parts.push(...entry);
    position += Buffer.concat(entry).length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(position, 16);
  return Buffer.concat([...parts, central, end]);
}
