/** Recognises the network of a weight file by its names and shapes, for messages. */

import type { FoundTensor } from './contents.js';
import { resnetKind } from './resnet-kind.js';

type Found = ReadonlyMap<string, FoundTensor>;

/** A family of networks. */
interface Family {
  /** Name of the network, or a function that tells the members apart. */
  readonly name: string | ((found: Found) => string);
  /** Patterns of which each must match some name. In them, `@` is the start of a part of a name. */
  readonly patterns: readonly string[];
}

/** Networks that contain another one, so that they must be recognised first. */
const COMPOUND: readonly Family[] = [
  { name: 'a quantized network', patterns: ['zero_point$|_packed_params'] },
  { name: 'an adapter (LoRA) and not a network', patterns: ['lora_(?:A|B|up|down)\\b'] },
  { name: 'a diffusion model', patterns: ['@diffusion_model\\.|@time_embedding\\.linear_1\\.'] },
  { name: 'CLIP', patterns: ['@(?:visual|vision_model)\\.', '@logit_scale$'] },
  { name: 'a detection network (R-CNN)', patterns: ['@(?:rpn|rpn_head|roi_heads?)\\.'] },
  { name: 'a detection network', patterns: ['@head\\.classification_head\\.|@bbox_head\\.'] },
  { name: 'a detection network (DETR)', patterns: ['@(?:class|bbox)_embed\\.|@query_embed\\.'] },
  { name: 'a YOLO network', patterns: ['@model\\.\\d+\\.(?:conv|cv\\d|m|dfl)\\.'] },
  {
    name: 'a segmentation network',
    patterns: ['@(?:segmentation_head|decode_head|aux_classifier|low_classifier)\\.|@0\\.convs\\.'],
  },
  { name: 'a segmentation network', patterns: ['^backbone\\.', '^classifier\\.4\\.weight$'] },
  { name: 'a segmentation network (U-Net)', patterns: ['@double_conv\\.|@up_?conv\\d?\\.'] },
  { name: 'an encoder with its decoder', patterns: ['@encoder\\.', '@decoder\\.(?!layers\\.)'] },
  { name: 'a self-supervised checkpoint (MoCo)', patterns: ['@encoder_q\\.', '@encoder_k\\.'] },
  { name: 'two networks, a student and its teacher', patterns: ['@student\\.', '@teacher\\.'] },
  {
    name: 'a self-supervised network with its projection head',
    patterns: ['@(?:projector|projection_head|predictor)\\.'],
  },
  { name: 'a detectron2 network', patterns: ['@bottom_up\\.|@stem\\.conv1\\.norm\\.'] },
];

const FAMILIES: readonly Family[] = [
  {
    name: "a ResNet with the names of Hugging Face's transformers",
    patterns: ['@embedder\\.embedder\\.convolution\\.'],
  },
  {
    name: "a ResNet for small images, whose names differ from torchvision's",
    patterns: ['@layer1\\.0\\.conv1\\.weight$', '@shortcut\\.'],
  },
  {
    name: 'alexnet',
    patterns: ['@features\\.0\\.weight$', '@features\\.10\\.bias$', '@classifier\\.6\\.'],
  },
  { name: vggKind, patterns: ['@features\\.0\\.weight$', '@classifier\\.6\\.'] },
  { name: denseNetKind, patterns: ['@denseblock3\\.denselayer1\\.'] },
  { name: 'a SqueezeNet', patterns: ['@features\\.\\d+\\.squeeze\\.'] },
  { name: 'a MobileNetV2', patterns: ['@features\\.1\\.conv\\.0\\.0\\.weight$'] },
  { name: 'a MobileNetV3', patterns: ['@features\\.1\\.block\\.0\\.0\\.weight$'] },
  { name: 'an EfficientNet', patterns: ['@features\\.1\\.0\\.block\\.0\\.0\\.weight$'] },
  {
    name: "an EfficientNet or MobileNet with timm's names",
    patterns: ['@conv_stem\\.weight$', '@blocks\\.0\\.0\\.'],
  },
  {
    name: 'an EfficientNet with the names of efficientnet-pytorch',
    patterns: ['@_conv_stem\\.weight$', '@_blocks\\.0\\.'],
  },
  { name: 'a MaxViT', patterns: ['@window_attention\\.'] },
  { name: 'a ConvNeXt', patterns: ['@features\\.1\\.0\\.layer_scale$'] },
  {
    name: "a ConvNeXt with timm's names",
    patterns: ['@stages\\.0\\.blocks\\.0\\.conv_dw\\.|@downsample_layers\\.0\\.'],
  },
  { name: 'a Swin transformer', patterns: ['@relative_position_bias_table$'] },
  {
    name: vitKind,
    patterns: ['@class_token$|@cls_token$', '@conv_proj\\.|@patch_embed\\.|@patch_embeddings\\.'],
  },
  { name: 'an Inception v3', patterns: ['@Mixed_5b\\.'] },
  { name: 'a GoogLeNet', patterns: ['@inception3a\\.'] },
  { name: 'a ShuffleNetV2', patterns: ['@stage2\\.0\\.branch2\\.'] },
  { name: 'a MNASNet', patterns: ['@layers\\.8\\.0\\.layers\\.'] },
  { name: 'a RegNet', patterns: ['@trunk_output\\.block1\\.'] },
  { name: 'a ResNetV2 (BiT)', patterns: ['@stages\\.0\\.blocks\\.0\\.conv1\\.|@root\\.conv\\.'] },
  {
    name: 'a language model',
    patterns: ['@(?:word_embeddings|wte|embed_tokens|token_embedding|tok_embeddings)\\.weight$'],
  },
];

/** Most names that are looked at, and most characters of each. */
const MAX_NAMES = 20_000;
const MAX_LENGTH = 200;

/**
 * Returns the network that a file looks like: torchvision's name (`resnet34`), or a description that completes "this
 * looks like". Null if nothing is recognised.
 */
export function looksLike(found: Found): string | null {
  const names: string[] = [];
  for (const name of found.keys()) {
    if (names.push(name.slice(0, MAX_LENGTH)) === MAX_NAMES) break;
  }
  const text = names.join('\n');
  const among = (families: readonly Family[]): string | null => {
    const family = families.find(({ patterns }) => patterns.every((one) => matches(one, text)));
    if (family === undefined) return null;
    return typeof family.name === 'string' ? family.name : family.name(found);
  };
  return among(COMPOUND) ?? among(FAMILIES.slice(0, 2)) ?? resnetKind(found) ?? among(FAMILIES);
}

function matches(pattern: string, text: string): boolean {
  return new RegExp(pattern.replaceAll('@', '(?:^|\\.)'), 'm').test(text);
}

function shapesOf(found: Found, pattern: RegExp): (readonly number[])[] {
  const shapes: (readonly number[])[] = [];
  for (const [name, { shape }] of found) {
    if (shape !== null && pattern.test(name)) shapes.push(shape);
  }
  return shapes;
}

/** Tells VGGs apart by their convolutions; three linear layers follow these. */
function vggKind(found: Found): string {
  const layers = shapesOf(found, /(?:^|\.)features\.\d+\.weight$/);
  const depth = layers.filter(({ length }) => length === 4).length + 3;
  const normalised = shapesOf(found, /(?:^|\.)features\.\d+\.running_mean$/).length > 0;
  return `vgg${depth}${normalised ? '_bn' : ''}`;
}

/** Tells DenseNets apart by the layers of their third block. */
function denseNetKind(found: Found): string {
  const layers = shapesOf(found, /(?:^|\.)denseblock3\.denselayer\d+\.norm1\.weight$/).length;
  const depth = new Map([
    [24, 121],
    [32, 169],
    [36, 161],
    [48, 201],
  ]).get(layers);
  return depth === undefined ? 'a DenseNet' : `densenet${depth}`;
}

/** Tells vision transformers apart by the width of their tokens and the size of a patch. */
function vitKind(found: Found): string {
  const [shape] = shapesOf(found, /(?:^|\.)(?:conv_proj|patch_embed\.proj|projection)\.weight$/);
  const [width = 0, , patch = 0] = shape ?? [];
  const size = new Map([
    [192, 'ti'],
    [384, 's'],
    [768, 'b'],
    [1024, 'l'],
    [1280, 'h'],
  ]).get(width);
  return size === undefined ? 'a vision transformer' : `vit_${size}_${patch}`;
}
