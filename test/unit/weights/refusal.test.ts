/** Holds: a refused weight file is told by what it looks like, and by the names that were found in it. */

import { describe, expect, test } from '@jest/globals';
import path from 'node:path';
import type { Manifest } from '../../../src/artifacts/manifest.js';
import { stateLayout } from '../../../src/artifacts/state-layout.js';
import { account } from '../../../src/weights/account.js';
import { looksLike } from '../../../src/weights/looks-like.js';
import { refusal } from '../../../src/weights/refusal.js';
import { ROOT } from '../../support/paths.js';
import {
  type Found,
  manifestOf,
  named,
  prefixed,
  stateDict,
  tensor,
} from '../../support/weight-names.js';

const manifests = ['resnet18', 'resnet34', 'resnet50'].map((arch) =>
  manifestOf(path.join(ROOT, 'artifacts', arch)),
);
const known = manifests.map((manifest) => ({
  arch: manifest.arch,
  layout: stateLayout(manifest, 2),
}));

describe('what a file looks like', () => {
  test.each(manifests.map((manifest) => [manifest.arch, manifest] as const))('%s', (arch, own) => {
    const found = stateDict(own);
    const whole = { text: arch, arch, kind: 'whole' };
    expect(looksLike(found, known)).toEqual(whole);
    expect(looksLike(prefixed(found, 'module.backbone.'), known)).toEqual(whole);
  });

  const [first] = manifests;
  if (first === undefined) throw new Error('expected the manifest of resnet18, found none');
  const own = stateDict(first);
  const other = (name: string): string => `net.${name.replaceAll('layer', 'stage')}`;

  test.each<[string, Found, string, string]>([
    [
      'other names',
      new Map([...own].map(([name, tensor]) => [other(name), tensor])),
      'resnet18 under other names',
      'renamed',
    ],
    [
      'other names, without a head',
      new Map([...own].slice(0, -2).map(([name, tensor]) => [other(name), tensor])),
      'resnet18 under other names',
      'renamed',
    ],
    [
      'another stem',
      new Map([...own, ['conv1.weight', tensor(64, 3, 3, 3)]]),
      'a variant of resnet18 (99 of its 100 tensors)',
      'variant',
    ],
    [
      'more layers',
      prefixed(new Map([...own, ['layer1.2.conv1.weight', tensor(64, 64, 3, 3)]]), 'm.'),
      'a variant of resnet18 (all of its 100 tensors, and 1 more)',
      'variant',
    ],
  ])('%s', (_, found, text, kind) => {
    expect(looksLike(found, known)).toEqual({ text, arch: 'resnet18', kind });
  });

  const layers = (count: number, name: string, ...shape: number[]): Found =>
    new Map(Array.from({ length: count }, (_, i) => [`features.${i}.${name}`, tensor(...shape)]));
  test.each<[string, Found]>([
    [
      'a network of 13 convolutions, 1 linear layer',
      new Map([...layers(13, 'weight', 64, 64, 3, 3), ['classifier.6.weight', tensor(10, 4096)]]),
    ],
    [
      'a network of 2 convolutions, 2 BatchNorm layers, 1 linear layer',
      new Map([
        ...layers(2, 'conv.weight', 8, 8, 1, 1),
        ...layers(2, 'norm.running_mean', 8),
        ['head.weight', tensor(3, 8)],
      ]),
    ],
    [
      'a transformer of 1 convolution, 5 linear layers',
      new Map([
        ['patch_embed.proj.weight', tensor(192, 3, 16, 16)],
        ...layers(5, 'attn.qkv.weight', 576, 192),
      ]),
    ],
    ['a network for images and text', named('visual.conv1.weight', 'logit_scale')],
    ['a detection network', named('backbone.body.conv1.weight', 'rpn.head.conv.weight')],
    ['a detection network', named('model.0.conv.weight', 'model.2.m.0.cv1.conv.weight')],
    ['a segmentation network', named('backbone.layer1.0.conv1.weight', 'classifier.4.weight')],
    [
      'an encoder with its decoder',
      named('encoder.layer1.0.conv1.weight', 'decoder.blocks.0.conv1.0.weight'),
    ],
    [
      'two encoders that were trained together',
      named('module.encoder_q.conv1.weight', 'module.encoder_k.conv1.weight'),
    ],
    [
      'a quantized network',
      named('conv1.weight', 'conv1.zero_point', 'fc._packed_params._packed_params'),
    ],
    ['a language model', named('bert.embeddings.word_embeddings.weight')],
  ])('%s', (text, found) => {
    const likeness = { text, arch: null, kind: 'other' };
    expect(looksLike(found, known)).toEqual(likeness);
    const prefix = text.includes('segmentation') ? '' : 'module.';
    expect(looksLike(prefixed(found, prefix), known)).toEqual(likeness);
  });

  test('nothing that is like a network', () => {
    expect(looksLike(named('w', 'b'), known)).toBeNull();
    expect(looksLike(new Map(), known)).toBeNull();
  });

  test('a hostile file costs no more than its length', () => {
    const began = performance.now();
    const found = named(...Array.from({ length: 100_000 }, (_, i) => `${'a.'.repeat(90)}${i}`));
    expect(looksLike(found, known)).toBeNull();
    expect(performance.now() - began).toBeLessThan(3000);
  });
});

describe('refusals', () => {
  const resnet18 = manifestOf(path.join(ROOT, 'artifacts', 'resnet18'));
  const resnet34 = manifestOf(path.join(ROOT, 'artifacts', 'resnet34'));
  const message = async (found: Found, manifest = resnet18): Promise<string | null> => {
    const own = stateLayout(manifest, 2);
    const group = {
      path: [],
      beside: [],
      tensors: found,
      read: () => Promise.resolve(new Map<string, never>()),
    };
    const sought = { arch: manifest.arch, layout: own, names: null, where: 'w.pth' };
    return refusal(group, account(found, own), sought, () => Promise.resolve(known));
  };
  const own = stateDict(resnet18);

  test('none for the network itself', async () => {
    expect(await message(own)).toBeNull();
    expect(await message(prefixed(own, 'module.'))).toBeNull();
  });

  test.each<[string, Found, Manifest, string]>([
    [
      'a deeper network',
      stateDict(resnet34),
      resnet18,
      "expected only tensors of resnet18 in w.pth, found 80 more (layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias, layer1.2.conv2.weight, layer1.2.bn2.weight and 75 more); this looks like resnet34; use --arch resnet34, or weights of resnet18 with its publisher's names",
    ],
    [
      'a shallower network',
      prefixed(own, 'module.'),
      resnet34,
      "expected tensor layer1.2.conv1.weight of float32 [64, 64, 3, 3] in w.pth, found none of that name (nor of 79 others) among 122: module.conv1.weight, module.bn1.weight, module.bn1.bias, module.layer1.0.conv1.weight, module.layer1.0.bn1.weight and 117 more; this looks like resnet18; use --arch resnet18, or weights of resnet34 with its publisher's names",
    ],
    [
      'another stem',
      new Map([...own, ['conv1.weight', tensor(64, 3, 3, 3)]]),
      resnet18,
      "expected tensor conv1.weight of float32 [64, 3, 7, 7] in w.pth, found float32 [64, 3, 3, 3]; use weights of resnet18 with its publisher's names",
    ],
    [
      'integers',
      new Map([...own, ['bn1.weight', { dtype: 'int8', shape: [64] }]]),
      resnet18,
      "expected tensor bn1.weight of float32 [64] in w.pth, found int8 [64]; use floating-point weights of resnet18 with its publisher's names",
    ],
    [
      'an object in place of a tensor',
      new Map([...own, ['bn1.weight', { dtype: 'some.Class', shape: null }]]),
      resnet18,
      "expected tensor bn1.weight of float32 [64] in w.pth, found some.Class, which cannot be read; use floating-point weights of resnet18 with its publisher's names",
    ],
    [
      'two networks',
      new Map([...prefixed(own, 'student.'), ...prefixed(own, 'teacher.')]),
      resnet18,
      'expected only tensors of resnet18 in w.pth, found 102 more (teacher.conv1.weight, teacher.bn1.weight, teacher.bn1.bias, teacher.layer1.0.conv1.weight, teacher.layer1.0.bn1.weight and 97 more); the network is in it again under "teacher."; this looks like two networks, a student and its teacher; use weights of resnet18 with its publisher\'s names',
    ],
    [
      'a name with control characters',
      new Map([...own, ...named('a\n\u001B[2J\u202Eb')]),
      resnet18,
      "expected only tensors of resnet18 in w.pth, found 1 more (a\\n\\x1b[2J\\u202eb); use weights of resnet18 with its publisher's names",
    ],
    [
      'nothing',
      new Map(),
      resnet18,
      "expected tensor conv1.weight of float32 [64, 3, 7, 7] in w.pth, found no tensors; use weights of resnet18 with its publisher's names",
    ],
  ])('%s', async (_, found, manifest, expected) => {
    expect(await message(found, manifest)).toBe(expected);
  });

  test('a frozen BatchNorm without statistics is named', async () => {
    const found = new Map([...own].filter(([name]) => !name.includes('running')));
    expect(await message(found)).toMatch(
      /bn1\.running_mean of float32 \[64\] .* \(nor of 39 others\)/,
    );
  });
});
