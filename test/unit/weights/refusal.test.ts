/** Holds: a refused weight file is told by what it looks like, and by the names that were found in it. */

import { describe, expect, test } from '@jest/globals';
import path from 'node:path';
import { ARCHITECTURES, type Manifest } from '../../../src/artifacts/manifest.js';
import { stateLayout } from '../../../src/artifacts/state-layout.js';
import { account } from '../../../src/weights/account.js';
import type { FoundTensor } from '../../../src/weights/contents.js';
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

describe('what a file looks like', () => {
  test.each([...ARCHITECTURES])('the bundled %s', (arch) => {
    const found = stateDict(manifestOf(path.join(ROOT, 'artifacts', arch)));
    expect(looksLike(found)).toBe(arch);
    expect(looksLike(prefixed(found, 'module.backbone.'))).toBe(arch);
  });

  /** A ResNet of blocks with three convolutions. */
  const bottlenecks = (blocks: readonly number[], conv2: readonly number[]): Found => {
    const found = named('conv1.weight');
    found.set('conv1.weight', tensor(64, 3, 7, 7));
    blocks.forEach((count, stage) => {
      for (let i = 0; i < count; i++) {
        for (const conv of [1, 2, 3]) {
          found.set(`layer${stage + 1}.${i}.conv${conv}.weight`, tensor(...conv2, 3, 3));
        }
      }
    });
    return found;
  };
  const vgg = (convolutions: number): Found =>
    new Map([
      ...Array.from({ length: convolutions }, (_, i): [string, FoundTensor] => [
        `features.${2 * i}.weight`,
        tensor(64, 64, 3, 3),
      ]),
      ['classifier.6.weight', tensor(1000, 4096)],
    ]);
  const token = named('cls_token');
  test.each<[string, Found]>([
    ['resnet101', bottlenecks([3, 4, 23, 3], [64, 64])],
    ['resnet152', bottlenecks([3, 8, 36, 3], [64, 64])],
    ['wide_resnet50_2', bottlenecks([3, 4, 6, 3], [128, 128])],
    ['resnext50_32x4d', bottlenecks([3, 4, 6, 3], [128, 4])],
    ['resnext101_64x4d', bottlenecks([3, 4, 23, 3], [256, 4])],
    ['a ResNet of 9 + 9 + 9 blocks', bottlenecks([9, 9, 9], [16, 16])],
    [
      'resnet50 for images of 1 channels',
      new Map([...bottlenecks([3, 4, 6, 3], [64, 64]), ['conv1.weight', tensor(64, 1, 7, 7)]]),
    ],
    [
      'resnet50 with a 3 x 3 stem (for small images)',
      new Map([...bottlenecks([3, 4, 6, 3], [64, 64]), ['conv1.weight', tensor(64, 3, 3, 3)]]),
    ],
    ['vgg16', vgg(13)],
    ['vgg19_bn', new Map([...vgg(16), ...named('features.1.running_mean')])],
    ['alexnet', named('features.0.weight', 'features.10.bias', 'classifier.6.weight')],
    [
      'densenet169',
      named(
        ...Array.from(
          { length: 32 },
          (_, i) => `features.denseblock3.denselayer${i + 1}.norm1.weight`,
        ),
      ),
    ],
    ['a MobileNetV2', named('features.0.0.weight', 'features.1.conv.0.0.weight')],
    ['a MobileNetV3', named('features.0.0.weight', 'features.1.block.0.0.weight')],
    ['an EfficientNet', named('features.1.0.block.0.0.weight')],
    [
      "an EfficientNet or MobileNet with timm's names",
      named('conv_stem.weight', 'blocks.0.0.conv_dw.weight'),
    ],
    ['a ConvNeXt', named('features.0.0.weight', 'features.1.0.layer_scale')],
    ["a ConvNeXt with timm's names", named('stem.0.weight', 'stages.0.blocks.0.conv_dw.weight')],
    ['a Swin transformer', named('layers.0.blocks.0.attn.relative_position_bias_table')],
    ['vit_b_16', new Map([...token, ['patch_embed.proj.weight', tensor(768, 3, 16, 16)]])],
    ['vit_l_32', new Map([...named('class_token'), ['conv_proj.weight', tensor(1024, 3, 32, 32)]])],
    ['a SqueezeNet', named('features.3.squeeze.weight')],
    ['a ShuffleNetV2', named('conv1.0.weight', 'stage2.0.branch2.0.weight')],
    ['a GoogLeNet', named('inception3a.branch1.conv.weight')],
    ['an Inception v3', named('Mixed_5b.branch1x1.conv.weight')],
    [
      "a ResNet with the names of Hugging Face's transformers",
      named('resnet.embedder.embedder.convolution.weight'),
    ],
    [
      "a ResNet for small images, whose names differ from torchvision's",
      named('layer1.0.conv1.weight', 'layer2.0.shortcut.0.weight'),
    ],
    ['CLIP', named('visual.conv1.weight', 'logit_scale')],
    ['a detection network (R-CNN)', named('backbone.body.conv1.weight', 'rpn.head.conv.weight')],
    ['a segmentation network', named('backbone.layer1.0.conv1.weight', 'classifier.4.weight')],
    [
      'an encoder with its decoder',
      named('encoder.layer1.0.conv1.weight', 'decoder.blocks.0.conv1.0.weight'),
    ],
    [
      'a self-supervised checkpoint (MoCo)',
      named('module.encoder_q.conv1.weight', 'module.encoder_k.conv1.weight'),
    ],
    ['a YOLO network', named('model.0.conv.weight', 'model.2.m.0.cv1.conv.weight')],
    [
      'a quantized network',
      named('conv1.weight', 'conv1.zero_point', 'fc._packed_params._packed_params'),
    ],
    ['a language model', named('bert.embeddings.word_embeddings.weight')],
  ])('%s', (kind, found) => {
    expect(looksLike(found)).toBe(kind);
    expect(looksLike(prefixed(found, kind.includes('segmentation') ? '' : 'module.'))).toBe(kind);
  });

  test('an unknown network', () => {
    expect(looksLike(named('w', 'b'))).toBeNull();
    expect(looksLike(new Map())).toBeNull();
  });
});

describe('refusals', () => {
  const resnet18 = manifestOf(path.join(ROOT, 'artifacts', 'resnet18'));
  const resnet34 = manifestOf(path.join(ROOT, 'artifacts', 'resnet34'));
  const message = (found: Found, manifest = resnet18): string | null => {
    const own = stateLayout(manifest, 2);
    const group = {
      path: [],
      beside: [],
      tensors: found,
      read: () => Promise.resolve(new Map<string, never>()),
    };
    return refusal(group, account(found, own), {
      arch: manifest.arch,
      layout: own,
      where: 'w.pth',
    });
  };
  const own = stateDict(resnet18);

  test('none for the network itself', () => {
    expect(message(own)).toBeNull();
    expect(message(prefixed(own, 'module.'))).toBeNull();
  });

  test.each<[string, Found, Manifest, string]>([
    [
      'a deeper network',
      stateDict(resnet34),
      resnet18,
      "expected only tensors of resnet18 in w.pth, found 80 more (layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias, layer1.2.conv2.weight, layer1.2.bn2.weight and 75 more); this looks like resnet34; use --arch resnet34, or weights of resnet18 with torchvision's names",
    ],
    [
      'a shallower network',
      prefixed(own, 'module.'),
      resnet34,
      "expected tensor layer1.2.conv1.weight of float32 [64, 64, 3, 3] in w.pth, found none of that name (nor of 79 others) among 122: module.conv1.weight, module.bn1.weight, module.bn1.bias, module.layer1.0.conv1.weight, module.layer1.0.bn1.weight and 117 more; this looks like resnet18; use --arch resnet18, or weights of resnet34 with torchvision's names",
    ],
    [
      'another stem',
      new Map([...own, ['conv1.weight', tensor(64, 3, 3, 3)]]),
      resnet18,
      "expected tensor conv1.weight of float32 [64, 3, 7, 7] in w.pth, found float32 [64, 3, 3, 3]; this looks like resnet18 with a 3 x 3 stem (for small images); use weights of resnet18 with torchvision's names",
    ],
    [
      'integers',
      new Map([...own, ['bn1.weight', { dtype: 'int8', shape: [64] }]]),
      resnet18,
      "expected tensor bn1.weight of float32 [64] in w.pth, found int8 [64]; use floating-point weights of resnet18 with torchvision's names",
    ],
    [
      'an object in place of a tensor',
      new Map([...own, ['bn1.weight', { dtype: 'some.Class', shape: null }]]),
      resnet18,
      "expected tensor bn1.weight of float32 [64] in w.pth, found some.Class, which cannot be read; use floating-point weights of resnet18 with torchvision's names",
    ],
    [
      'two networks',
      new Map([...prefixed(own, 'student.'), ...prefixed(own, 'teacher.')]),
      resnet18,
      'expected only tensors of resnet18 in w.pth, found 102 more (teacher.conv1.weight, teacher.bn1.weight, teacher.bn1.bias, teacher.layer1.0.conv1.weight, teacher.layer1.0.bn1.weight and 97 more); the network is in it again under "teacher."; this looks like two networks, a student and its teacher; use weights of resnet18 with torchvision\'s names',
    ],
    [
      'a name with control characters',
      new Map([...own, ...named('a\n\u001B[2J\u202Eb')]),
      resnet18,
      "expected only tensors of resnet18 in w.pth, found 1 more (a\\n\\x1b[2J\\u202eb); use weights of resnet18 with torchvision's names",
    ],
    [
      'nothing',
      new Map(),
      resnet18,
      "expected tensor conv1.weight of float32 [64, 3, 7, 7] in w.pth, found no tensors; use weights of resnet18 with torchvision's names",
    ],
  ])('%s', (_, found, manifest, expected) => {
    expect(message(found, manifest)).toBe(expected);
  });

  test('a frozen BatchNorm without statistics is named', () => {
    const found = new Map([...own].filter(([name]) => !name.includes('running')));
    expect(message(found)).toMatch(/bn1\.running_mean of float32 \[64\] .* \(nor of 39 others\)/);
  });
});
