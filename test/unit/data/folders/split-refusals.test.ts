/** Holds: inputs are used, refused or named. Data folders that can be read in two ways are refused. */

import { symlink } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { DatasetError } from '../../../../src/common/errors.js';
import { ImageFolder } from '../../../../src/data/folders/image-folder.js';
import { findSplits } from '../../../../src/data/folders/split-folders.js';
import {
  CLASS_NAMES as BOTH,
  imageFolders,
  inEach,
  temporaryFolders,
} from '../../../support/file-tree.js';

const newFolder = temporaryFolders('layout-');

const folders = (...names: string[]): Promise<string> => imageFolders(newFolder(), names);

describe('is refused, with all names', () => {
  test.each<[string, string[], RegExp]>([
    [
      'two for training',
      inEach('train', 'Train', 'val'),
      /one folder for training .*"Train", "train"/,
    ],
    [
      'two for validation',
      inEach('train', 'val', 'valid'),
      /one folder for validation .*"val", "valid"/,
    ],
    [
      'a second one without classes',
      [...inEach('train', 'val'), 'Validation'],
      /"Validation", "val"/,
    ],
    [
      'images directly in both',
      ['train', 'val'],
      /images directly in "train", "val".* either .* or /,
    ],
    ['images directly in both, beside a class', ['train', 'valid', 'cat'], /"train", "valid"/],
    ['nothing but splits of images', ['Train', 'test'], /images directly in "Train", "test"/],
    ['one split of images', ['train'], /class folders in .*train, found images directly in it/],
    [
      'val without classes',
      [...inEach('train'), 'val'],
      /class folders in .*val, found images directly/,
    ],
    [
      'train without classes',
      ['train', ...inEach('val')],
      /class folders in .*train, found images/,
    ],
    [
      'train with folders beside classes',
      ['bus', 'car', 'train/steam', 'train/diesel'],
      /"train" with folders in it \("diesel", "steam"\) beside folders of images \("bus", "car"\)/,
    ],
    [
      'a class with splits in it',
      ['cat/train', 'cat/val', 'dog/train', 'dog/val'],
      /split folders \("train", "val"\) in .*cat/,
    ],
    [
      'the folder above',
      inEach('data/Train', 'data/Test'),
      /split folders \("Test", "Train"\) in .*data; give that folder/,
    ],
    [
      'splits with years',
      inEach('train2017', 'val2017'),
      /"train2017", "val2017", which hold the same folders.*rename them/,
    ],
    ['splits with a prefix', inEach('seg_train', 'seg_test'), /"seg_test", "seg_train"/],
    [
      'splits twice in each other, as archives unpack',
      [...inEach('seg_train/seg_train', 'seg_test/seg_test'), 'seg_pred/seg_pred'],
      /"seg_test", "seg_train"/,
    ],
    [
      'splits with years and a folder between',
      inEach('train2017/images', 'val2017/JPEG'),
      /"train2017", "val2017"/,
    ],
    ...[
      ['train2017', 'val2017'],
      ['train', 'test1'],
      ['Train_1', 'Test_1'],
      ['train', 'valid_x'],
      ['MyTrainSet', 'dev'],
      ['cats_train', 'cats_test', 'dogs_train', 'dogs_test'],
      ['train-a', 'cat', 'holdout'],
      ['bus', 'train', 'val'],
      ['seg_train/seg_train/cat', 'seg_test/seg_test/dog', 'seg_pred/seg_pred'],
      ['asl_train/asl_train/A', 'asl_train/asl_train/B', 'asl_test/asl_test'],
    ].map((names): [string, string[], RegExp] => [
      `only by the names: ${names.join(', ')}`,
      names,
      /splits.* classes/,
    ]),
    [
      'splits in lone folders',
      [...inEach('New/New/train', 'New/New/valid'), 'test/test'],
      /split folders \("train", "valid"\) in .*New.New; give that folder/,
    ],
    [
      'several versions of the data',
      [...inEach('v1/data/train', 'v1/data/valid'), ...inEach('v2/data/train')],
      /in .*v1.data; give/,
    ],
    [
      'splits by similar names in a folder',
      ['dogs-vs-cats/train', 'dogs-vs-cats/test1', 'other'],
      /split folders \("test1", "train"\) in .*dogs-vs-cats; give/,
    ],
    [
      'splits at the end of many lone folders',
      [...inEach('a/b/c/d/e/Training', 'a/b/c/d/e/Testing'), 'notes'],
      /\("Testing", "Training"\) in .*a.b.c.d.e; give/,
    ],
    ['splits in a split', inEach('train/train', 'train/val'), /seem to be splits/],
    [
      'a test folder beside one of an unknown name',
      inEach('apprentissage', 'test'),
      /"test", "apprentissage"/,
    ],
    ['splits in parts', inEach('train_1', 'train_2'), /"train_1", "train_2"/],
    [
      'splits without train beside another folder',
      [...inEach('val', 'test'), 'notes'],
      /seem to be splits/,
    ],
    [
      'a test folder with some of the classes',
      [...BOTH, 'test/cat', 'test/emu'],
      /"test" with folders in it/,
    ],
  ])('%s', async (_, names, message) => {
    const refused = findSplits(await folders(...names));
    await expect(refused).rejects.toThrow(DatasetError);
    await expect(refused).rejects.toThrow(message);
  });
});

test.each(['val', 'Test'])('a link called %s that leads nowhere is refused', async (name) => {
  const dir = await folders(...inEach('train'));
  await symlink(path.join(dir, 'not mounted'), path.join(dir, name));
  await expect(findSplits(dir)).rejects.toThrow(`${name}, found nothing; repair the link`);
});

describe('a lone folder with the classes deeper names the folder that holds them', () => {
  test.each<[string, string[], string, string]>([
    [
      'a split unpacked into a folder of its name',
      inEach('training_set/training_set', 'test_set/test_set'),
      'training_set',
      path.join('training_set', 'training_set'),
    ],
    ['an archive', inEach('train/images', 'val'), 'train', path.join('train', 'images')],
    ['several lone folders', inEach('a/b/c'), '', path.join('a', 'b', 'c')],
  ])('%s', async (_, names, under, inner) => {
    const top = await folders(...names);
    const { train } = await findSplits(top);
    const at = path.join(top, under);
    expect(train?.dir).toBe(under === '' ? top : at);
    await expect(ImageFolder.open(at)).rejects.toThrow(
      `if the classes are the folders in ${path.join(top, inner)} ("cat", "dog"), give that folder, or move them`,
    );
  });

  test('for evaluate, too', async () => {
    const at = path.join(await folders(...inEach('test/test')), 'test');
    await expect(ImageFolder.open(at, { classes: BOTH })).rejects.toThrow(
      `the folders in ${path.join(at, 'test')} ("cat", "dog")`,
    );
  });

  test('one class of images is still only that', async () => {
    await expect(ImageFolder.open(await folders('cat'))).rejects.toThrow(
      /found only "cat"; the layout is [^;]*$/,
    );
  });
});
