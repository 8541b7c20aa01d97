/** Makes well formed files with nonsensical contents, by a seed. Changing single bytes seldom yields such files. */

/** Values that a header does not expect. The last ones nest deeper than a recursive reader can follow. */
const VALUES: readonly string[] = [
  ...['null', 'true', '-1', '0.5', '1e300', '9007199254740993', '""', '"F32"', '[]', '{}'],
  ...['[4,0]', '[4294967296,4294967296]', '{"toString":1,"valueOf":1}', '{"__proto__":null}'],
  '['.repeat(20_000) + ']'.repeat(20_000),
  '{"a":'.repeat(20_000) + '1' + '}'.repeat(20_000),
];
const FIELDS = ['dtype', 'shape', 'data_offsets', '__proto__', 'constructor', 'toString', 'x'];
const NAMES = ['w', 'fc.bias', '__metadata__', '__proto__', ''];

type Random = () => number;

function pick<T>(random: Random, items: readonly [T, ...T[]] | readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError('nothing to choose from');
  return item;
}

/** Returns a safetensors file whose header is JSON of roughly the right form. */
export function nonsenseSafetensors(random: Random): Uint8Array {
  const entry = (): string => {
    const good = { dtype: '"F32"', shape: '[1]', data_offsets: '[0,4]' };
    const fields = Object.entries(good).map(([name, value]) => {
      const field = random() < 0.15 ? pick(random, FIELDS) : name;
      return `${JSON.stringify(field)}:${random() < 0.3 ? pick(random, VALUES) : value}`;
    });
    return random() < 0.1 ? pick(random, VALUES) : `{${fields.join(',')}}`;
  };
  const entries = Array.from({ length: 1 + Math.floor(random() * 2) }, () => {
    return `${JSON.stringify(pick(random, NAMES))}:${entry()}`;
  });
  const header = Buffer.from(`{${entries.join(',')}}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.byteLength));
  return Buffer.concat([length, header, Buffer.alloc(pick(random, [0, 4, 4, 8]))]);
}

const text = (value: string): Buffer =>
  Buffer.concat([Buffer.from([0x8c, Buffer.byteLength(value)]), Buffer.from(value)]);
const global = (name: string): Buffer => {
  const [, module = '', own = ''] = /^(.*)\.(\w+)$/.exec(name) ?? [];
  return Buffer.from(`c${module}\n${own}\n`);
};

/** Opcodes of a state_dict's pickle with their operands, in any order. */
const OPCODES: readonly Buffer[] = [
  ...['', '', 'w', 'storage', '0', '__proto__'].map(text),
  ...[0, 1, 2, 255].flatMap((n) => [Buffer.from([0x4b, n]), Buffer.from([0x4b, n])]),
  // NONE, EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, MARK: more often than opcodes that pop values.
  ...'N)]}(N)]}(N)]}(]}]}'.split('').map((letter) => Buffer.from(letter)),
  // POP, TUPLE1 to TUPLE3, TUPLE, APPEND, APPENDS, SETITEM, SETITEMS, REDUCE, BUILD, BINPERSID
  // and POP_MARK, DUP, EMPTY_SET, ADDITEMS, FROZENSET, NEWOBJ, NEWOBJ_EX: of objects that are not known
  ...'0\x85\x86\x87taesuRbQ12\x8f\x90\x91\x81\x92'
    .split('')
    .map((letter) => Buffer.from(letter, 'latin1')),
  // BINPUT and BINGET for three memo slots
  ...[0, 1, 2].flatMap((n) => [Buffer.from([0x71, n]), Buffer.from([0x68, n])]),
  ...[
    'collections.OrderedDict',
    'torch._utils._rebuild_tensor_v2',
    'torch._utils._rebuild_parameter',
    'torch.FloatStorage',
    'torch.IntStorage',
    'argparse.Namespace',
    'torch._tensor._rebuild_from_type_v2',
    'torch._utils._rebuild_tensor_v3',
  ].map(global),
  Buffer.from('8a020001', 'hex'), // LONG1
  Buffer.from('8b010000000143027879', 'hex'), // LONG4, SHORT_BINBYTES
  Buffer.concat([Buffer.alloc(20_000, ']'), Buffer.alloc(19_999, 'a')]), // nested lists
];

/** Wraps the pickle operations of a state_dict in the file format before PyTorch 1.6. */
export function legacyPth(operations: Uint8Array, protocol = 2): Uint8Array {
  const pickle = (...parts: Uint8Array[]): Buffer =>
    Buffer.concat([Buffer.from([0x80, protocol]), ...parts, Buffer.from('.')]);
  return Buffer.concat([
    pickle(Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex')),
    pickle(Buffer.from('4de903', 'hex')),
    pickle(Buffer.from('}'), text('little_endian'), Buffer.from([0x88]), Buffer.from('s')),
    pickle(operations),
    pickle(Buffer.from(']')),
  ]);
}

/** Returns a `.pth` whose pickle is a random list of allowed operations. */
export function nonsensePth(random: Random): Uint8Array {
  const operations: Buffer[] = [];
  if (random() < 0.7) operations.push(Buffer.from('}'));
  for (let count = 2 + Math.floor(random() * 12); count > 0; count--) {
    operations.push(pick(random, OPCODES));
  }
  // Half of the files end with setting an item of a dictionary.
  if (random() < 0.5) operations.push(Buffer.from('Ns'));
  return legacyPth(Buffer.concat(operations));
}
