/** Holds: files that hold no weights are refused at reading, with what they are. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { encodeSafetensors } from '../../../src/weights/safetensors.js';
import { TINY } from '../../support/paths.js';
import { foreign, pthFile, stateValue } from '../../support/pth.js';
import { readStored } from '../../support/stored-graph.js';
import { storedZip } from '../../support/stored-zip.js';
import { fixture, WeightFiles } from '../../support/weight-files.js';

let weights: WeightFiles;
beforeAll(async () => {
  weights = await WeightFiles.open();
});
afterAll(async () => {
  await weights.remove();
});

describe('files that are something else', () => {
  const pickled = (code: string): Buffer => Buffer.from(code, 'latin1');
  test.each<[string, string | (() => Uint8Array), RegExp]>([
    [
      'whole_model.pth',
      fixture('whole_model.pth'),
      /found a whole object of torch\.nn\.modules\.linear\.Linear.*torch\.save\(model\.state_dict\(\), FILE\)$/,
    ],
    [
      'whole_model_inside.pth',
      fixture('whole_model_inside.pth'),
      /found under "model" a whole object of torch\.nn/,
    ],
    ['torchscript.pth', fixture('torchscript.pth'), /found a TorchScript model/],
    ['model.onnx', () => readStored(TINY, 'evaluate'), /found an ONNX model/],
    ['config.json', path.join(TINY, 'manifest.json'), /found JSON text/],
    ['page.pth', () => pickled('<!DOCTYPE html><html>'), /found a web page/],
    ['page.safetensors', () => pickled('\n<!doctype html><html>'), /found a web page/],
    ['lfs.bin', () => pickled('version https://git-lfs.github.com/spec/v1\n'), /"git lfs pull"/],
    ['weights.h5', () => pickled('\x89HDF\r\n\x1a\n'.padEnd(90, '\0')), /found an HDF5 file/],
    [
      'w.pkl',
      () => pickled('\x80\x04\x95\x10'.padEnd(90, '\0')),
      /a Python pickle that torch\.save/,
    ],
    ['w.npz', () => storedZip({ 'a.npy': 'x', 'b.npy': 'y' }), /another program.*a\.npy, b\.npy/],
    ['w.tar.gz', () => pickled('\x1f\x8b\x08'.padEnd(90, '\0')), /gzip; unpack it/],
    [
      'cut.pth.tar',
      () => pickled('PK\x03\x04'.padEnd(90, '\0')),
      /a damaged zip archive.*torch\.save/,
    ],
    ['nothing.pth', () => pthFile({}), /found an empty dictionary/],
    [
      'epochs.pth',
      () => pthFile({ epoch: 3, args: foreign('a.B') }),
      /first keys: epoch, args \(a\.B\)/,
    ],
    ['one.pth', () => pthFile(3), /found something that is not a dictionary/],
    ['empty.pth', () => new Uint8Array(), /found an empty file/],
    ['a folder', path.dirname(fixture('tiny.pth')), /found something that is not a regular file/],
  ])('%s', async (name, content, message) => {
    const file = typeof content === 'string' ? content : await weights.write(name, content());
    expect(await weights.refusalOf(file)).toMatch(message);
  });

  test.each(['w.pth', 'w.pt', 'w.CKPT', 'w.pth.tar', 'w.bin', 'w'])(
    'a safetensors file called %s is read',
    async (name) => {
      const file = await weights.write(name, encodeSafetensors(weights.tiny));
      expect((await weights.load(file)).state.get('conv1.weight')).toEqual(
        weights.tiny.get('conv1.weight'),
      );
    },
  );

  test.each(['w2.safetensors', 'w2.bin', 'w2.onnx', 'w2'])(
    'a file of torch.save called %s is read',
    async (name) => {
      const file = await weights.write(name, await readFile(fixture('tiny.pth')));
      expect((await weights.load(file)).state.get('conv1.weight')).toEqual(
        weights.tiny.get('conv1.weight'),
      );
    },
  );

  test.each([
    ['noise.pth', /PyTorch's torch\.save/],
    ['noise.safetensors', /a safetensors file/],
  ])('a file of neither format called %s is refused by its name', async (name, message) => {
    const file = await weights.write(name, Buffer.alloc(200, 0xa5));
    expect(await weights.refusalOf(file)).toMatch(message);
  });

  test('a header length that looks like another format is none', async () => {
    const bytes = Buffer.concat(encodeSafetensors(weights.tiny));
    // 0x8b1f bytes, which begin as a gzip file does.
    const padded = Buffer.alloc(0x8b1f, ' ');
    const header = Number(bytes.readBigUInt64LE());
    bytes.copy(padded, 0, 8, 8 + header);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(padded.length));
    const file = await weights.write('w.safetensors', [length, padded, bytes.subarray(8 + header)]);
    expect((await weights.load(file)).state.get('conv1.weight')).toEqual(
      weights.tiny.get('conv1.weight'),
    );
  });

  test('tensors of types that cannot be read are named', async () => {
    const int8 = { shape: [8], data: new Int8Array(8) };
    const file = await weights.write(
      'w.pth',
      pthFile({ ...stateValue(weights.tiny), 'bn1.bias': int8 }),
    );
    expect(await weights.refusalOf(file)).toBe(
      "expected tensor bn1.bias of float32 [8] in w.pth, found int8 [8]; use floating-point weights of tiny with its publisher's names",
    );
  });
});
