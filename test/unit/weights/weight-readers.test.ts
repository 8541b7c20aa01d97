import { describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WeightsError } from '../../../src/common/errors.js';
import { readPth } from '../../../src/platform/node/defaults.js';
import { encodeSafetensors } from '../../../src/weights/safetensors.js';
import { readSafetensors } from '../../../src/platform/node/defaults.js';
import { float32Tensor, int64Scalar, type Tensor } from '../../../src/common/tensor.js';
import { READERS, fuzz, fuzzNonsense } from '../../long/mutations.js';
import { legacyPth } from '../../long/nonsense.js';
import { ROOT } from '../../support/paths.js';

const FIXTURES = path.join(ROOT, 'test', 'fixtures', 'weights');
const fixture = (name: string): string => path.join(FIXTURES, name);

async function reference(name: string): Promise<Record<string, Tensor>> {
  return Object.fromEntries((await readSafetensors(fixture(name))).tensors);
}

async function problem(run: Promise<unknown>): Promise<string> {
  const error: unknown = await run.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WeightsError);
  return (error as WeightsError).message;
}

/** A safetensors file with the given header text. */
function safetensors(header: string, dataBytes = 0): Uint8Array {
  const json = Buffer.from(header);
  const file = Buffer.alloc(8 + json.byteLength + dataBytes);
  file.writeBigUInt64LE(BigInt(json.byteLength));
  json.copy(file, 8);
  return file;
}

describe('safetensors', () => {
  test('reads what the reference implementation wrote, as float32 and int64', async () => {
    const { tensors, metadata } = await readSafetensors(fixture('reference.safetensors'));
    expect(metadata).toEqual(new Map([['made by', 'safetensors']]));
    expect(tensors.get('conv.weight')).toEqual(
      float32Tensor(
        [2, 3, 2, 2],
        Float32Array.from({ length: 24 }, (_, i) => (i - 12) / 4),
      ),
    );
    expect(tensors.get('bn.num_batches_tracked')).toEqual(int64Scalar(2n ** 40n + 1n));
    expect(tensors.get('empty')).toEqual(float32Tensor([0, 4], new Float32Array()));
  });

  test.each(['float16', 'bfloat16', 'float64'])('reads %s as float32', async (type) => {
    expect(await reference(`${type}.safetensors`)).toEqual(
      await reference('reference.safetensors'),
    );
  });

  test('writes what it reads, aligned to 8 bytes, the same for any order of tensors', async () => {
    const { tensors } = await readSafetensors(fixture('reference.safetensors'));
    tensors.set('__proto__', float32Tensor([1], Float32Array.of(7)));
    const bytes = Buffer.concat(encodeSafetensors(tensors, { epoch: '3', 'ключ "x"': 'значение' }));
    expect(bytes.readBigUInt64LE() % 8n).toBe(0n);
    const again = await readSafetensors(bytes);
    expect(again.tensors.size).toBe(tensors.size);
    for (const [name, tensor] of tensors) expect(again.tensors.get(name)).toEqual(tensor);
    expect(again.metadata.get('ключ "x"')).toBe('значение');
    const reversed = new Map([...tensors].reverse());
    const other = encodeSafetensors(reversed, { epoch: '3', 'ключ "x"': 'значение' });
    expect(Buffer.concat(other).equals(bytes)).toBe(true);
  });

  test('does not copy the tensors it writes', () => {
    const data = new Float32Array(4);
    const chunks = encodeSafetensors(new Map([['w', float32Tensor([4], data)]]));
    expect(chunks[1]?.buffer).toBe(data.buffer);
  });

  const f32 = (offsets: string, shape = '[1]'): string =>
    `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`;
  test.each([
    ['an empty file', new Uint8Array(), /only 0 bytes/],
    ['a header longer than the file', Buffer.from('ffffffffffffff7f7b7d', 'hex'), /header of/],
    ['no JSON', safetensors('{'), /not JSON/],
    ['text that is not UTF-8', safetensors('{}').with(8, 0xff), /not JSON/],
    ['a list', safetensors('[]'), /not a JSON object/],
    ['nesting without end', safetensors('['.repeat(1e5)), /not JSON/],
    ['a tensor that is a number', safetensors('{"w":1}'), /"w".* not a JSON object/],
    ['a hole', safetensors(`{"w":${f32('[4,8]')}}`, 8), /offset 4.*ends at 0/],
    ['an overlap', safetensors(`{"a":${f32('[0,4]')},"b":${f32('[0,4]')}}`, 4), /offset 0.*at 4/],
    ['data left over', safetensors(`{"w":${f32('[0,4]')}}`, 8), /8 bytes of data .* 4/],
    ['data cut off', safetensors(`{"w":${f32('[0,4]')}}`, 2), /2 bytes of data .* 4/],
    ['offsets in reverse', safetensors(`{"w":${f32('[4,0]')}}`, 4), /data_offsets/],
    ['offsets that are not whole', safetensors(`{"w":${f32('[0,4.5]')}}`, 4), /data_offsets/],
    ['a negative offset', safetensors(`{"w":${f32('[-4,0]')}}`, 4), /data_offsets/],
    ['three offsets', safetensors(`{"w":${f32('[0,4,4]')}}`, 4), /data_offsets/],
    ['a shape of another size', safetensors(`{"w":${f32('[0,4]', '[2]')}}`, 4), /shape \[2\]/],
    [
      'a shape whose product overflows to the right size',
      safetensors(`{"w":${f32('[0,4]', '[4294967296,4294967296,1]')}}`, 4),
      /shape \[4294967296/,
    ],
    ['a dimension beyond 2^53', safetensors(`{"w":${f32('[0,0]', '[1e300,0]')}}`), /shape/],
    ['a shape that is a string', safetensors(`{"w":${f32('[0,4]', '"1"')}}`, 4), /shape/],
    [
      'an element type that is not read',
      safetensors('{"w":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1),
      /type I8/,
    ],
    ['a type named as a method', safetensors(`{"w":{"dtype":"constructor"}}`), /constructor/],
    ['no fields', safetensors('{"w":{}}'), /without a type/],
    ['a type that is no text', safetensors('{"w":{"dtype":{"toString":1}}}'), /without a type/],
    [
      'a type that nests without end',
      safetensors(`{"w":{"dtype":${'['.repeat(1e5)}${']'.repeat(1e5)}}}`),
      /without a type/,
    ],
    ['a field too many', safetensors(`{"w":{"x":1,${f32('[0,4]').slice(1)}}`, 4), /other fields/],
    ['the same tensor twice', safetensors(`{"w":${f32('[0,4]')},"w":${f32('[0,4]')}}`, 4), /twice/],
    [
      'the same key twice, written differently',
      safetensors(`{"w":${f32('[0,4]')},"\\u0077":${f32('[0,4]')}}`, 4),
      /"w" twice/,
    ],
    ['metadata that is a number', safetensors('{"__metadata__":{"a":1}}'), /metadata "a"/],
    ['metadata that is a list', safetensors('{"__metadata__":[]}'), /metadata/],
  ])('refuses %s', async (_, bytes, message) => {
    expect(await problem(readSafetensors(bytes))).toMatch(message);
  });

  test('"__proto__" is a name like any other', async () => {
    const { tensors } = await readSafetensors(safetensors(`{"__proto__":${f32('[0,4]')}}`, 4));
    expect([...tensors.keys()]).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });

  test('a missing file and a folder are named', async () => {
    expect(await problem(readSafetensors(fixture('none')))).toMatch(/none.*no such file/);
    expect(await problem(readSafetensors(FIXTURES))).toMatch(/weights/);
  });
});

describe('pth', () => {
  test.each([
    'float32',
    'float64',
    'float16',
    'bfloat16',
    'legacy',
    'protocol4',
    'wrapped',
    'parameters',
    'no_crc',
  ])('%s.pth reads as the reference', async (name) => {
    const tensors = await readPth(fixture(`${name}.pth`));
    expect(Object.fromEntries(tensors)).toEqual(await reference('reference.safetensors'));
  });

  test.each(['views', 'views_legacy'])('%s.pth: strides and offsets are followed', async (name) => {
    const tensors = await readPth(fixture(`${name}.pth`));
    expect(Object.fromEntries(tensors)).toEqual(await reference('views.safetensors'));
    expect(tensors.get('whole')?.data.buffer).not.toBe(tensors.get('shared')?.data.buffer);
  });

  test("a module's own state_dict, with its _metadata", async () => {
    const tensors = await readPth(fixture('module.pth'));
    expect(Object.fromEntries(tensors)).toEqual(await reference('module.safetensors'));
  });

  test.each([
    ['forbidden', /"(__builtin__|builtins)\.print"/],
    ['forbidden_legacy', /"(__builtin__|builtins)\.print"/],
    ['stride_outside', /shape \[2, 3\], strides \[4, 1\].*outside its storage of 6/],
    ['offset_outside', /offset 4 outside/],
    ['negative_offset', /offset that is not a natural number/],
    ['negative_stride', /strides that is not a natural number/],
    ['strides_missing', /strides \[1\]/],
    ['overflow', /too large/],
    ['endless', /1073741830 elements in \d+ bytes/],
    ['many_dimensions', /at most 8/],
    ['not_numbers', /not a natural number/],
    ['int32', /w of int32 in IntStorage .*float16.*can be read/],
    ['no_tensors', /without tensors .*epoch, net/],
    ['list', /not a dictionary/],
    ['compressed', /compressed/],
    ['big_endian', /byte order "big"/],
  ])('refuses %s.pth', async (name, message) => {
    expect(await problem(readPth(fixture(`${name}.pth`)))).toMatch(message);
  });

  /** Lists of the list before, twice: printed, the last would be as long as 2 to the power of 60. */
  const doubling = (): Buffer =>
    Buffer.concat([
      Buffer.from(']q\0'),
      ...Array.from({ length: 60 }, (_, i) =>
        Buffer.from([0x5d, 0x68, i, 0x61, 0x68, i, 0x61, 0x71, i + 1]),
      ),
      Buffer.from('}h<Ns'),
    ]);
  test.each([
    ['lists in lists', Buffer.from(`}${']'.repeat(2e5)}${'a'.repeat(2e5 - 1)}Ns`)],
    ['lists that double', doubling()],
    ['a dictionary', Buffer.from('}}Ns')],
    ['an OrderedDict of a list', Buffer.from('ccollections\nOrderedDict\n(](]Nltbtb')],
  ])('%s as a key: refused at once', async (_, operations) => {
    const began = performance.now();
    await problem(readPth(legacyPth(operations)));
    expect(performance.now() - began).toBeLessThan(2000);
  });

  test('a changed byte of the data is noticed', async () => {
    const bytes = await readFile(fixture('float32.pth'));
    const at = bytes.indexOf(Buffer.from(Float32Array.of(-3, -2.75).buffer));
    bytes[at] = 1;
    expect(await problem(readPth(bytes))).toMatch(/storage "0" damaged/);
  });

  test.each([0, 1, 3, 20, 100, 400, 900])('cut off after %d bytes', async (length) => {
    for (const name of ['float32.pth', 'legacy.pth']) {
      const bytes = (await readFile(fixture(name))).subarray(0, length);
      expect(await problem(readPth(bytes))).toMatch(/torch\.save\(model\.state_dict\(\), FILE\)/);
    }
  });
});

describe('mutated files', () => {
  test.each(READERS)(
    '%s: a valid result or a WeightsError, nothing else',
    async (ending, read, make) => {
      const counts = await fuzz(ending, read, 0, 4000);
      expect(counts.read).toBeGreaterThan(100);
      expect(counts.refused).toBeGreaterThan(1000);
      // And files that are well formed, but mean nonsense.
      const nonsense = await fuzzNonsense(make, read, 0, 1000);
      expect(nonsense.refused).toBeGreaterThan(500);
    },
  );

  test('files on disk are closed after an error', async () => {
    if (!existsSync('/proc/self/fd')) return;
    const folder = await mkdtemp(path.join(tmpdir(), 'readers-'));
    try {
      const file = path.join(folder, 'w.pth');
      await writeFile(file, 'neither');
      const before = (await readdir('/proc/self/fd')).length;
      for (let i = 0; i < 20; i++) await problem(readPth(file));
      for (let i = 0; i < 20; i++) await problem(readSafetensors(file));
      expect((await readdir('/proc/self/fd')).length).toBeLessThan(before + 10);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
