/** Holds: every tensor of a weight file is used, left out for a reason that is told, or unknown. */

import { describe, expect, test } from '@jest/globals';
import path from 'node:path';
import { stateLayout } from '../../../src/artifacts/state-layout.js';
import { account } from '../../../src/weights/account.js';
import { findPrefix } from '../../../src/weights/prefix.js';
import { FIXTURES } from '../../support/paths.js';
import {
  type Found,
  manifestOf,
  named,
  prefixed,
  stateDict,
  tensor,
} from '../../support/weight-names.js';

const tiny = manifestOf(path.join(FIXTURES, 'tiny'));
const layout = stateLayout(tiny, 3);

const HEAD = ['fc.weight', 'fc.bias'];
const plain = stateDict(tiny);
const backbone = new Map([...plain].filter(([name]) => !HEAD.includes(name)));
const COUNT = [...backbone.keys()].length;

describe('what is accounted for', () => {
  const other = (prefix = ''): Found =>
    new Map([
      [`${prefix}classifier.weight`, tensor(10, 32)],
      [`${prefix}classifier.bias`, tensor(10)],
    ]);
  test.each<[string, Found, string, string[]]>([
    ['torchvision names', plain, '', []],
    ['no head', backbone, '', []],
    [
      'the head as a list of layers',
      new Map([...backbone, ['fc.1.weight', tensor(9, 32)]]),
      '',
      [],
    ],
    ['DataParallel', prefixed(plain, 'module.'), 'module.', []],
    ['torch.compile', prefixed(plain, '_orig_mod.'), '_orig_mod.', []],
    ['two prefixes in one', prefixed(plain, 'module.model.'), 'module.model.', []],
    ['a prefix that nobody knows', prefixed(plain, 'a.b-c.d.'), 'a.b-c.d.', []],
    [
      'the head beside the prefix',
      new Map([...prefixed(backbone, 'net.'), ...other()]),
      'net.',
      ['another head'],
    ],
    ['another head', new Map([...backbone, ...other()]), '', ['another head']],
    [
      'another head inside',
      prefixed(new Map([...backbone, ...other()]), 'm.'),
      'm.',
      ['another head'],
    ],
    ['momentum', new Map([...plain, ['momentum.conv1.weight', tensor(8, 3, 7, 7)]]), '', []],
    ['counters of other layers', new Map([...plain, ...named('x.num_batches_tracked')]), '', []],
    [
      "the optimizer's buffers",
      new Map([...plain, ...named('optimizer.state.0.momentum_buffer')]),
      '',
      ["the optimizer's state"],
    ],
    [
      "Adam's buffers",
      new Map([...plain, ...named('conv1.weight.exp_avg_sq')]),
      '',
      ["the optimizer's state"],
    ],
    [
      "the loss's weights",
      prefixed(new Map([...plain, ['criterion.weight', tensor(3)]]), 'x.'),
      'x.',
      ["the loss's weights"],
    ],
    [
      'an averaged copy',
      new Map([...prefixed(plain, 'model.'), ...prefixed(plain, 'model_ema.module.')]),
      'model.',
      ['an averaged copy'],
    ],
    [
      'an averaged copy that comes first',
      new Map([...prefixed(plain, 'ema.'), ...prefixed(plain, 'model.')]),
      'model.',
      ['an averaged copy'],
    ],
    [
      'only an averaged copy',
      new Map([...named('n_averaged'), ...prefixed(plain, 'module.')]),
      'module.',
      ['an averaged copy'],
    ],
  ])('%s', (_, found, prefix, reasons) => {
    const result = account(found, layout);
    expect(result.prefix).toBe(prefix);
    expect(result.used.size).toBe(COUNT);
    expect(result.used.get('conv1.weight')).toBe(`${prefix}conv1.weight`);
    expect(result.missing).toEqual([]);
    expect(result.different).toEqual([]);
    expect(result.unknown).toEqual([]);
    expect(result.leftOut.map(({ reason }) => reason)).toEqual(reasons);
  });

  test.each(['float16', 'bfloat16', 'float64'])('%s counts as float32', (dtype) => {
    const cast = new Map([...plain].map(([name, one]) => [name, { ...one, dtype }]));
    const result = account(cast, layout);
    expect(result.different).toEqual([]);
    expect(result.used.size).toBe(COUNT - tiny.counters.length);
  });

  test('counters of another type are not used', () => {
    const found = new Map([...plain, ['bn1.num_batches_tracked', { dtype: 'int32', shape: [] }]]);
    expect(account(found, layout).used.has('bn1.num_batches_tracked')).toBe(false);
    expect(account(found, layout).different).toEqual([]);
  });
});

describe('what is unknown', () => {
  const block = named('layer1.1.conv1.weight', 'layer1.1.bn1.weight');
  test.each<[string, Found, string[]]>([
    ['another block', new Map([...plain, ...block]), [...block.keys()]],
    [
      'another block under the prefix',
      prefixed(new Map([...plain, ...block]), 'm.'),
      ['m.layer1.1.conv1.weight', 'm.layer1.1.bn1.weight'],
    ],
    [
      'a second network',
      new Map([...prefixed(backbone, 'a.'), ...prefixed(backbone, 'b.')]),
      [...prefixed(backbone, 'b.').keys()].filter((name) => !name.endsWith('tracked')),
    ],
    [
      'a head of convolutions',
      new Map([...plain, ['classifier.0.weight', tensor(9, 32, 1, 1)]]),
      ['classifier.0.weight'],
    ],
    [
      'a head of other features',
      new Map([...plain, ['head.weight', tensor(9, 31)]]),
      ['head.weight'],
    ],
    [
      'momentum of another network',
      new Map([...plain, ...named('momentum.layer9.weight')]),
      ['momentum.layer9.weight'],
    ],
    [
      'a layer whose name has "ema" in it',
      new Map([...plain, ...named('layer1.0.ema.conv1.weight', 'schema.weight')]),
      ['layer1.0.ema.conv1.weight', 'schema.weight'],
    ],
    [
      'a name that the tables have, too',
      new Map([...plain, ...named('__proto__', 'constructor')]),
      ['__proto__', 'constructor'],
    ],
  ])('%s', (_, found, unknown) => {
    expect(account(found, layout).unknown).toEqual(unknown);
  });

  test('a hostile name costs no more than its length', () => {
    const began = performance.now();
    const names = Array.from({ length: 50 }, (_, i) => `${'.'.repeat(200_000)}${i}.conv1.weight`);
    expect(account(new Map([...plain, ...named(...names)]), layout).unknown).toHaveLength(50);
    expect(performance.now() - began).toBeLessThan(3000);
  });

  test('a prefix of few names is none', () => {
    const found = findPrefix(['a.x', 'a.y', 'b.z'], new Set(['x', 'y', 'z', 'u', 'v']));
    expect(found).toEqual({ prefix: '', others: [] });
  });
});
