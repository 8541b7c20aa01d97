/** A wrong call gets one error: naming an option in code, and its flag on the command line. */

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../../src/common/errors.js';
import { resolveEvaluateOptions } from '../../../src/config/evaluate-options.js';
import { resolveExportOptions } from '../../../src/config/export-options.js';
import { resolvePredictOptions } from '../../../src/config/predict-options.js';
import { evaluate, exportInference, findLr, predict, train } from '../../../src/index.js';

const run = mkdtempSync(path.join(os.tmpdir(), 'options-test-'));
afterAll(() => {
  rmSync(run, { recursive: true });
});

const RESOLVE = {
  export: resolveExportOptions,
  evaluate: resolveEvaluateOptions,
  predict: resolvePredictOptions,
};

describe('what is left out has the default of the command', () => {
  test('export', () => {
    expect(resolveExportOptions({ run }, 'option')).toEqual({
      run,
      checkpoint: 'best',
      out: path.join(run, 'model.onnx'),
      artifacts: undefined,
      rawImages: false,
      probabilities: false,
      compression: undefined,
      maxAccuracyDrop: 0.01,
      data: undefined,
      skipReplay: false,
      valDataset: undefined,
    });
  });

  test('evaluate and predict', () => {
    const machine = { artifacts: undefined, workers: 4, threads: 0 };
    const source = { from: { run, checkpoint: 'best' }, ...machine };
    const evaluated = resolveEvaluateOptions({ run, data: run }, 'option');
    expect(evaluated).toEqual({ data: run, onImage: undefined, source });
    const predicted = resolvePredictOptions({ model: 'a.onnx', images: 'a.jpg' }, 'option');
    const model = { from: { model: 'a.onnx' }, ...machine };
    expect(predicted).toEqual({ images: ['a.jpg'], top: 5, source: model });
  });
});

test.each([
  ['export', {}, 'expected run to be the folder of an earlier training, got nothing'],
  ['export', { run: 'none' }, 'expected run to be the folder of an earlier training, got "none"'],
  ['export', { run, checkpoint: 'first' }, 'expected checkpoint to be one of best, last'],
  ['export', { run, rawImages: 'yes' }, 'expected rawImages to be true or false, got "yes"'],
  ['export', { run, compression: 'int4' }, 'expected compression to be one of fp16, int8'],
  ['export', { run, maxAccuracyDrop: 2 }, 'expected maxAccuracyDrop to be a number from 0 to 1'],
  ['export', { run, valDataset: [] }, 'expected valDataset to be a data set'],
  ['evaluate', { run }, 'expected data to be a folder of labelled images, got nothing'],
  ['evaluate', { data: run }, 'expected run or model, got neither; give one of them'],
  ['evaluate', { data: run, run, workers: '4' }, 'expected workers to be a whole number from 1'],
  ['evaluate', { data: run, run, onImage: 1 }, 'expected onImage to be a function, got 1'],
  ['predict', { images: ['a'], run, model: 'm' }, 'expected run or model, got both'],
  ['predict', { images: ['a'], run, top: 0 }, 'expected top to be a whole number from 1'],
  [
    'predict',
    { images: ['a'], model: 'm', checkpoint: 'best' },
    'expected checkpoint with run, got it with model; leave it out',
  ],
] as const)('%s %j', (command, options, message) => {
  const attempt = (naming: 'option' | 'flag') => () => RESOLVE[command](options, naming);
  expect(attempt('option')).toThrow(ConfigError);
  expect(attempt('option')).toThrow(message);
  const flags = message.replace(
    /\b(run|model|checkpoint|data|top|workers|rawImages|maxAccuracyDrop|compression|valDataset|onImage)\b(?= (or|to|with|,))|(?<= or )model|(?<=with )(run|model)/g,
    (name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  );
  expect(attempt('flag')).toThrow(flags);
});

test.each([
  ['export', { run, checkpint: 'best' }, 'got checkpint; did you mean checkpoint?'],
  ['evaluate', { run, data: run, nonsense: 1 }, 'got nonsense; its options are run, checkpoint'],
  [
    'predict',
    { run, image: 'a' },
    'expected an option of predict, got image; did you mean images?',
  ],
] as const)('an unknown option of %s: %j', (command, options, message) => {
  expect(() => RESOLVE[command](options, 'option')).toThrow(ConfigError);
  expect(() => RESOLVE[command](options, 'option')).toThrow(message);
});

test.each([
  ['option', 'expected maxAccuracyDrop with compression, got it alone; leave it out'],
  ['flag', 'expected --max-accuracy-drop with --fp16 or --int8, got it alone; leave it out'],
] as const)('a drop of accuracy that nothing costs is refused: %s', (naming, message) => {
  expect(() => resolveExportOptions({ run, maxAccuracyDrop: 0.1 }, naming)).toThrow(message);
  const both = { run, maxAccuracyDrop: 0.1, compression: 'int8' };
  expect(resolveExportOptions(both, naming).maxAccuracyDrop).toBe(0.1);
});

test.each([[['']], [['a.png', '']], [['', '-']]])('an empty path is refused: %j', (images) => {
  const attempt = (): unknown => resolvePredictOptions({ run, images }, 'flag');
  expect(attempt).toThrow('expected the path of an image, folder or pattern, got an empty one');
});

test('no images', () => {
  for (const images of [undefined, [], 3, '']) {
    const attempt = (): unknown => resolvePredictOptions({ run, images }, 'option');
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow('expected images to be images, folders or patterns, got');
  }
});

test('the functions themselves check what JavaScript hands them', async () => {
  const wrong: Record<string, unknown> = JSON.parse('{"rum": "x"}') as Record<string, unknown>;
  const message = 'got rum; did you mean run?';
  await expect(exportInference(wrong as never)).rejects.toThrow(message);
  await expect(evaluate(wrong as never)).rejects.toThrow(message);
  await expect(predict(wrong as never).next()).rejects.toThrow(message);
  const epoch: Record<string, unknown> = JSON.parse('{"epoch": 3}') as Record<string, unknown>;
  await expect(train(epoch)).rejects.toThrow('got epoch; did you mean epochs?');
  await expect(findLr({ ...epoch, step: 3 } as never)).rejects.toThrow(
    'got epoch; its options are',
  );
  await expect(findLr({ step: 3 } as never)).rejects.toThrow('got step; did you mean steps?');
});
