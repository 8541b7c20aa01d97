/** Holds: weight files of many makers are read for what they are, or refused with a reason, at reading. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { float32Tensor, int64Scalar } from '../../../src/common/tensor.js';
import { encodeSafetensors } from '../../../src/weights/safetensors.js';
import { foreign, pthFile, stateValue, type PthValue } from '../../support/pth.js';
import { fixture, type Tensors, WeightFiles } from '../../support/weight-files.js';

let weights: WeightFiles;
beforeAll(async () => {
  weights = await WeightFiles.open();
});
afterAll(async () => {
  await weights.remove();
});

function renamed(tensors: Tensors, rename: (name: string) => string): Tensors {
  return new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]));
}

/** Returns the network with other numbers. */
function others(): Tensors {
  return new Map(
    [...weights.tiny].map(([name, { shape, data }]) => [
      name,
      data instanceof Float32Array
        ? float32Tensor(
            shape,
            data.map(() => 7),
          )
        : int64Scalar(7n),
    ]),
  );
}

describe('names', () => {
  test.each<[string, () => Tensors, string[]]>([
    ['as torchvision has them', () => weights.tiny, []],
    [
      'DataParallel',
      () => renamed(weights.tiny, (name) => `module.${name}`),
      ['w.safetensors: names begin with "module.", which is left out'],
    ],
    [
      'a compiled module inside a module',
      () => renamed(weights.tiny, (name) => `_orig_mod.model.${name}`),
      ['w.safetensors: names begin with "_orig_mod.model.", which is left out'],
    ],
    [
      'the head beside the backbone',
      () =>
        renamed(weights.tiny, (name) =>
          name.replace(/^(?!fc)/, 'backbone.').replace(/^fc/, 'head.fc'),
        ),
      [
        'w.safetensors: names begin with "backbone.", which is left out',
        'w.safetensors: left out head.fc.bias, head.fc.weight (another head)',
      ],
    ],
    [
      'an average of the weights beside them',
      () => new Map([...weights.tiny, ...renamed(others(), (name) => `ema.${name}`)]),
      [
        'w.safetensors: left out ema.bn1.bias, ema.bn1.running_mean, ema.bn1.running_var, ema.bn1.weight, ema.conv1.weight and 42 more (an averaged copy)',
      ],
    ],
  ])('%s', async (_, make, remarks) => {
    const file = await weights.write('w.safetensors', encodeSafetensors(make()));
    const { state } = await weights.load(file);
    expect(state.get('layer3.0.conv2.weight')).toEqual(weights.tiny.get('layer3.0.conv2.weight'));
    expect(state.get('bn1.num_batches_tracked')).toEqual(int64Scalar(1n));
    expect(state.has('ema.conv1.weight')).toBe(false);
    expect(await weights.remarksOf(file)).toEqual(remarks);
  });
});

describe('checkpoints', () => {
  test.each<[string, string[]]>([
    [
      'torchvision_script.pth',
      [
        'torchvision_script.pth: took the tensors under "model", and left out optimizer, lr_scheduler, epoch, args, model_ema; the network is also under "model_ema"',
      ],
    ],
    [
      'lightning.ckpt',
      [
        'lightning.ckpt: took the tensors under "state_dict", and left out epoch, pytorch-lightning_version, callbacks, optimizer_states, hyper_parameters',
        'lightning.ckpt: names begin with "model.", which is left out',
        "lightning.ckpt: left out criterion.weight (the loss's weights)",
      ],
    ],
  ])('%s, as PyTorch wrote it', async (name, remarks) => {
    expect(await weights.remarksOf(fixture(name))).toEqual(remarks);
    const { state } = await weights.load(fixture(name));
    expect(state.get('conv1.weight')?.data[0]).toBeCloseTo(0.1, 6);
    expect(state.get('bn1.running_mean')?.data[0]).toBeCloseTo(0.1, 6);
  });

  const args = foreign('argparse.Namespace', { lr: 1, nested: foreign('a.b.C', {}, 1, 'x') });
  test.each<[string, () => PthValue, string[]]>([
    ['objects among the tensors', () => ({ args, ...stateValue(weights.tiny), epoch: 3 }), []],
    [
      'model_state_dict',
      () => ({ epoch: 3, model_state_dict: stateValue(weights.tiny), loss: null }),
      ['w.pth: took the tensors under "model_state_dict", and left out epoch, loss'],
    ],
    [
      'a key that nobody knows',
      () => ({ version: 'x', weights_of_my_net: stateValue(weights.tiny, 'module.') }),
      [
        'w.pth: took the tensors under "weights_of_my_net", and left out version',
        'w.pth: names begin with "module.", which is left out',
      ],
    ],
    [
      'a dictionary in a dictionary',
      () => ({ state: { net: stateValue(weights.tiny), optimizer: args } }),
      ['w.pth: took the tensors under "state.net", and left out optimizer'],
    ],
    [
      'the averaged weights first',
      () => ({ model_ema: stateValue(others()), model: stateValue(weights.tiny) }),
      [
        'w.pth: took the tensors under "model", and left out model_ema; the network is also under "model_ema"',
      ],
    ],
    [
      'another network first',
      () => ({
        discriminator: { 'conv1.weight': { shape: [1], data: new Float32Array(1) } },
        generator: stateValue(weights.tiny),
      }),
      ['w.pth: took the tensors under "generator", and left out discriminator'],
    ],
    [
      'a dictionary beside the tensors',
      () => ({
        ...stateValue(weights.tiny),
        optimizer: { m: { shape: [1], data: new Float32Array(1) } },
      }),
      ['w.pth: left out the tensors under "optimizer"'],
    ],
    [
      'a head of integers, and counters of floats',
      () => ({
        ...stateValue(weights.tiny),
        'fc.weight': { shape: [3, 32], data: new Int8Array(96) },
        'bn1.num_batches_tracked': { shape: [], data: Float64Array.of(1) },
      }),
      [],
    ],
  ])('%s', async (name, make, remarks) => {
    const file = await weights.write('w.pth', pthFile(make()));
    const { state } = await weights.load(file);
    expect(state.get('conv1.weight')).toEqual(weights.tiny.get('conv1.weight'));
    const counter = name.includes('counters') ? 0n : 1n;
    expect(state.get('bn1.num_batches_tracked')).toEqual(int64Scalar(counter));
    expect(await weights.remarksOf(file)).toEqual(remarks);
  });
});

describe('values', () => {
  const CONV = 'layer2.0.conv1.weight';
  const nan = (data: Float32Array): unknown => data.fill(NaN, 5, 8);
  const advice = 'use weights from before the training went wrong, or fetch the file again';
  test.each<[string, string, (data: Float32Array) => unknown, string]>([
    [
      'NaN',
      CONV,
      nan,
      `expected finite values in w.pth, found NaN in m.${CONV} (3 of 1152 values); ${advice}`,
    ],
    [
      'infinity',
      'bn1.bias',
      (data) => data.fill(-Infinity),
      `expected finite values in w.pth, found infinity in m.bn1.bias (8 of 8 values); ${advice}`,
    ],
    [
      'both',
      'bn1.running_var',
      (data) => {
        data.set([NaN, Infinity], 2);
      },
      `expected finite values in w.pth, found NaN and infinity in m.bn1.running_var (2 of 8 values); ${advice}`,
    ],
    [
      'a negative variance',
      'bn1.running_var',
      (data) => {
        data.set([-0.5], 3);
      },
      `expected variances of 0 or more in w.pth, found -0.5 in m.bn1.running_var (1 of 8 values); ${advice}`,
    ],
  ])('%s', async (_, name, change, message) => {
    const found = weights.tiny.get(name);
    const data = Float32Array.from(found?.data as Float32Array);
    change(data);
    const tensors = new Map([...weights.tiny, [name, float32Tensor(found?.shape ?? [], data)]]);
    const file = await weights.write('w.pth', pthFile({ state_dict: stateValue(tensors, 'm.') }));
    expect(await weights.refusalOf(file)).toBe(message);
    const safetensors = await weights.write(
      'w.safetensors',
      encodeSafetensors(renamed(tensors, (one) => `m.${one}`)),
    );
    expect(await weights.refusalOf(safetensors)).toBe(message.replace('w.pth', 'w.safetensors'));
  });

  test('all tensors are counted, and a float64 beyond float32 is infinite', async () => {
    const broken = { shape: [8], data: new Float64Array(8).fill(1e300) };
    const content = { ...stateValue(weights.tiny), 'bn1.bias': broken, 'bn1.weight': broken };
    expect(await weights.refusalOf(await weights.write('w.pth', pthFile(content)))).toBe(
      `expected finite values in w.pth, found infinity in bn1.weight (8 of 8 values) and in 1 more tensor; ${advice}`,
    );
  });

  test('NaN in a head is told, and in momentum it does not matter', async () => {
    const head = float32Tensor([3], Float32Array.of(0, NaN, 0));
    const momentum = float32Tensor([3], new Float32Array(3).fill(NaN));
    const tensors = new Map([...weights.tiny, ['fc.bias', head], ['momentum.fc.bias', momentum]]);
    const file = await weights.write('w.safetensors', encodeSafetensors(tensors));
    expect(await weights.remarksOf(file)).toEqual([
      'w.safetensors: found NaN in fc.bias (1 of 3 values), which is not used',
    ]);
  });
});
