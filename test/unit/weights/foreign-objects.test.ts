/** Holds: objects of foreign classes in a .pth are inert, and attacks are named. Nothing in a file is ever run. */

import { describe, expect, test } from '@jest/globals';
import { WeightsError } from '../../../src/common/errors.js';
import type { Tensor } from '../../../src/common/tensor.js';
import { readPth, readSafetensors } from '../../../src/platform/node/defaults.js';
import { legacyPth } from '../../long/nonsense.js';
import { foreign, globalName, Opcodes, pthFile, type PthValue } from '../../support/pth.js';
import { fixture } from '../../support/weight-files.js';

async function problem(bytes: Uint8Array): Promise<string> {
  const found: unknown = await readPth(bytes).catch((error: unknown) => error);
  expect(found).toBeInstanceOf(WeightsError);
  return (found as WeightsError).message;
}

const w = { shape: [2], data: Float32Array.of(1, 2) };
const only = (tensors: Map<string, Tensor>): [string, number[]][] =>
  [...tensors].map(([name, { data }]) => [name, Array.from(data, Number)]);

/** Opcodes written as Latin-1 text. */
const code = (text: string): Opcodes => new Opcodes(Buffer.from(text, 'latin1'));
const call = (name: string, args = ')'): Opcodes =>
  new Opcodes(Buffer.concat([globalName(name), Buffer.from(`${args}R`, 'latin1')]));

describe('foreign objects beside tensors', () => {
  test.each(['foreign2.pth', 'foreign4.pth'])('%s, as Python wrote it', async (name) => {
    const { tensors } = await readSafetensors(fixture('reference.safetensors'));
    expect(Object.fromEntries(await readPth(fixture(name)))).toEqual(Object.fromEntries(tensors));
  });

  test.each<[string, PthValue]>([
    ['a Namespace', foreign('argparse.Namespace', { lr: 1 })],
    ['objects in objects', foreign('a.B', { c: [foreign('d.E', null, foreign('f.G'))] }, 1, 'x')],
    ['a function', new Opcodes(globalName('my_project.models.activation'))],
    ['a class made without arguments', code('cmy\nClass\n)\x81}b')],
    ['a class made with keyword arguments', code('cmy\nClass\n)}\x92')],
    ['the result of a result', code('ca\nb\n)R)R')],
    ['a method, by getattr', call('builtins.getattr')],
    ['a list of another class', code('cmmengine\nList\n)\x81(K\x01K\x02e')],
    ['a dictionary of another class', code('cmmengine\nConfigDict\n)\x81(K\x01K\x02u')],
    ['a set', code('\x8f(K\x01K\x02\x90')],
    ['a frozen set', code('(K\x01K\x02\x91')],
    ['bytes', code('C\x03abcB\x02\0\0\0xy0')],
    ['long bytes', code('\x8e\x02\0\0\0\0\0\0\0xy')],
    [
      'a very long number',
      new Opcodes(Buffer.concat([Buffer.from('8b00040000', 'hex'), Buffer.alloc(1024, 1)])),
    ],
    ['a dictionary with defaults', code('ccollections\ndefaultdict\n(cbuiltins\nint\ntR')],
    ['a value that is duplicated and dropped', code('K\x0120(K\x01K\x011')],
    ['a call of a dictionary that makes no sense', call('builtins.dict', '(K\x01t')],
  ])('%s', async (_, value) => {
    expect(only(await readPth(pthFile({ value, w, after: value })))).toEqual([['w', [1, 2]]]);
  });

  test('a tensor with attributes is a tensor', async () => {
    const inner = Buffer.from(
      'ctorch._tensor\n_rebuild_from_type_v2\n(ca\nb\nctorch\nTensor\n)Nt',
      'latin1',
    );
    const bytes = pthFile({ w, x: new Opcodes(Buffer.concat([inner, Buffer.from('R')])) });
    expect(only(await readPth(bytes))).toEqual([['w', [1, 2]]]);
  });

  test.each(['float8.pth', 'quantized.pth'])('%s: a tensor that cannot be read', async (name) => {
    const tensors = await readPth(fixture(name));
    expect([...tensors.keys()]).toEqual([
      'bn.running_var',
      'bn.num_batches_tracked',
      'scalar',
      'empty',
    ]);
  });

  test('a whole model of the old format', async () => {
    const id = 'X\x06\0\0\0modulecmy.net\nNet\nX\x01\0\0\0fX\x01\0\0\0s';
    const bytes = Buffer.from(`(${id}tQ)\x81}b`, 'latin1');
    expect(await problem(legacyPth(bytes))).toMatch(/found a whole object of my\.net\.Net/);
  });
});

describe('attacks', () => {
  test.each([
    ...['os.system', 'posix.system', 'nt.system', 'os.popen', 'os.execvp', 'os.remove'],
    ...['subprocess.Popen', 'subprocess.check_output', 'builtins.eval', '__builtin__.execfile'],
    ...['builtins.__import__', 'runpy.run_path', 'pty.spawn', 'shutil.rmtree', 'webbrowser.open'],
    ...['importlib.import_module', 'socket.create_connection', 'builtins.open'],
  ])('%s', async (name) => {
    const message = `found a call of "${name}", which would run as soon as PyTorch loads the file`;
    expect(await problem(pthFile({ w, x: call(name) }))).toContain(message);
    expect(await problem(pthFile({ w, x: foreign('a.B', [call(name)]) }))).toContain(message);
  });

  test.each(['os_utils.system', 'my.os.system', 'code.models.Net', 'systems.os', 'builtins.set'])(
    '%s is none',
    async (name) => {
      expect(only(await readPth(pthFile({ w, x: call(name) })))).toEqual([['w', [1, 2]]]);
    },
  );

  test('a million objects, and dictionaries that hold each other, take no time', async () => {
    const began = performance.now();
    const many = Buffer.concat([
      Buffer.from('('),
      Buffer.alloc(3_000_000, 'ca\nb\n)R'),
      Buffer.from('t'),
    ]);
    const whole = many.subarray(0, 1 + 7 * Math.floor(3_000_000 / 7));
    const objects = new Opcodes(Buffer.concat([whole, Buffer.from('t')]));
    const circle = code('}q\x05(X\x01\0\0\0a}q\x06(X\x01\0\0\0bh\x05uu');
    expect(only(await readPth(pthFile({ w, objects, circle })))).toEqual([['w', [1, 2]]]);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test.each([
    ['attributes of a number', code('K\x01}b'), /attributes of something/],
    ['a call of a number', code('K\x01)R'), /calls something that is not a function/],
    ['items of a tuple', code(')K\x01K\x02s'), /sets items of no dictionary/],
    ['bytes beyond the end', code('B\xff\xff\xff\x7f'), /cut off/],
    ['text of 2^63 bytes', code('\x8d\xff\xff\xff\xff\xff\xff\xff\x7f'), /cut off/],
    ['an extension code', code('\x82\x01'), /opcode 0x82/],
  ])('%s: refused', async (_, value, message) => {
    expect(await problem(pthFile({ w, x: value }))).toMatch(message);
  });
});
