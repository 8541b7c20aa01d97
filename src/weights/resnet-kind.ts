/** Tells from names and shapes which ResNet a file holds. */

import type { FoundTensor } from './contents.js';

/** Blocks per stage of networks whose blocks have two convolutions. */
const BASIC: Readonly<Record<string, string>> = {
  '1,1,1,1': 'resnet10',
  '2,2,2,2': 'resnet18',
  '3,4,6,3': 'resnet34',
};
/** Depth by blocks per stage of networks whose blocks have three convolutions. */
const BOTTLENECK: Readonly<Record<string, number>> = {
  '1,1,1,1': 14,
  '2,2,2,2': 26,
  '3,4,6,3': 50,
  '3,4,23,3': 101,
  '3,8,36,3': 152,
};
/** Form of the 3 x 3 convolution in the first bottleneck: its outputs, and its inputs per group. */
const WIDTHS: Readonly<Record<string, (depth: number) => string>> = {
  '64,64': (depth) => `resnet${depth}`,
  '128,128': (depth) => `wide_resnet${depth}_2`,
  '128,4': (depth) => `resnext${depth}_32x4d`,
  '256,8': (depth) => `resnext${depth}_32x8d`,
  '256,4': (depth) => `resnext${depth}_64x4d`,
};

const FIRST_BLOCK = 'layer1.0.conv1.weight';

/** Returns torchvision's name of the ResNet, or a description; null if the file holds no ResNet. */
export function resnetKind(found: ReadonlyMap<string, FoundTensor>): string | null {
  let prefix: string | null = null;
  for (const name of found.keys()) {
    if (!name.endsWith(FIRST_BLOCK)) continue;
    prefix = name.slice(0, -FIRST_BLOCK.length);
    break;
  }
  if (prefix === null) return null;
  const shapeOf = (name: string): readonly number[] => found.get(`${prefix}${name}`)?.shape ?? [];
  const name = byBlocks(blocksPerStage(found.keys(), prefix), shapeOf);
  if (found.has(`${prefix}conv1.0.weight`)) return `${name} with a stem of several convolutions`;
  if (found.has(`${prefix}layer1.0.se.fc1.weight`)) return `${name} with squeeze and excitation`;
  const [, channels = 3, side = 7] = shapeOf('conv1.weight');
  if (channels !== 3) return `${name} for images of ${channels} channels`;
  if (side !== 7) return `${name} with a ${side} x ${side} stem (for small images)`;
  return name;
}

function blocksPerStage(names: Iterable<string>, prefix: string): number[] {
  const blocks: Set<string>[] = [];
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const [, stage, block] = /^layer([1-9])\.(\d{1,3})\./.exec(name.slice(prefix.length)) ?? [];
    if (stage === undefined || block === undefined) continue;
    (blocks[Number(stage) - 1] ??= new Set()).add(block);
  }
  return Array.from(blocks, (stage: Set<string> | undefined) => stage?.size ?? 0);
}

function byBlocks(blocks: readonly number[], shapeOf: (name: string) => readonly number[]): string {
  const key = blocks.join(',');
  const other = `a ResNet of ${blocks.join(' + ')} blocks`;
  if (shapeOf('layer1.0.conv3.weight').length === 0) return BASIC[key] ?? other;
  const depth = BOTTLENECK[key];
  const width = WIDTHS[shapeOf('layer1.0.conv2.weight').slice(0, 2).join(',')];
  return depth === undefined || width === undefined ? other : width(depth);
}
