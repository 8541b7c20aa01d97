/** Holds: inputs are used, refused or named. The layouts of data folders, by the names and the content of folders. */

import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DatasetError } from '../../../../src/common/errors.js';
import { findSplits } from '../../../../src/data/folders/split-folders.js';
import { possibleRole, splitRole } from '../../../../src/data/folders/split-names.js';
import { writeTree } from '../../../support/file-tree.js';

let top: string;
let count = 0;
beforeAll(async () => {
  top = await mkdtemp(path.join(tmpdir(), 'layout-'));
});
afterAll(async () => {
  await rm(top, { recursive: true });
});

/** Makes images `a.jpg` in these folders. Names that end in a slash stay empty. */
function folders(...names: string[]): Promise<string> {
  const files = names.map((name) => (name.endsWith('/') ? name : `${name}/a.jpg`));
  return writeTree(path.join(top, String(count++)), files);
}

test.each([
  ['train', ['train', 'Train', 'TRAIN', 'training', 'Training_Set', 'train-images', 'ｔｒａｉｎ']],
  ['val', ['val', 'VAL', 'valid', 'Validation', 'validation set', 'val_data', 'validate']],
  ['test', ['test', 'Testing', 'TEST', 'tests', 'test-set']],
  [null, ['trains', 'trail', 'valley', 'value', 'attest', 'cat', 'set', 'images', 'train2017', '']],
])('names of %s', (role, names) => {
  expect(names.map((name) => [name, splitRole(name)])).toEqual(names.map((name) => [name, role]));
});

test.each([
  ['train2017', 'train'],
  ['ILSVRC2012_img_val', 'val'],
  ['seg_test', 'test'],
  ['MyTrain', 'train'],
  ['val-old', 'val'],
  ['trainer', null],
  ['contest', null],
])('%s may be %s', (name, role) => {
  expect(possibleRole(name)).toBe(role);
});

const BOTH = ['cat', 'dog'];
const inEach = (...splits: string[]): string[] =>
  splits.flatMap((split) => BOTH.map((name) => `${split}/${name}`));

/** Layout in words: folders below the data folder, `.` for itself. */
interface Expected {
  readonly train: string | null;
  readonly val?: string;
  readonly test?: string;
  readonly except?: readonly string[];
  readonly leftOut?: readonly string[];
}

describe('is used', () => {
  test.each<[string, string[], Expected]>([
    ['train and val', inEach('train', 'val'), { train: 'train', val: 'val' }],
    ['capitals', inEach('Train', 'Val'), { train: 'Train', val: 'Val' }],
    ['all capitals', inEach('TRAIN', 'VALIDATION'), { train: 'TRAIN', val: 'VALIDATION' }],
    [
      'train, valid, test',
      inEach('train', 'valid', 'test'),
      { train: 'train', val: 'valid', test: 'test', leftOut: ['test/ test'] },
    ],
    [
      'training and testing',
      inEach('Training', 'Testing'),
      { train: 'Training', test: 'Testing', leftOut: ['Testing/ test'] },
    ],
    ['train alone', inEach('train'), { train: 'train' }],
    [
      'other folders beside splits',
      [...inEach('train', 'val'), 'scans', 'scripts/'],
      { train: 'train', val: 'val', leftOut: ['scans/ folder', 'scripts/ folder'] },
    ],
    [
      'images to classify beside train',
      [...inEach('train'), 'new'],
      { train: 'train', leftOut: ['new/ folder'] },
    ],
    [
      'test images without classes',
      [...inEach('train', 'val'), 'test'],
      { train: 'train', val: 'val', leftOut: ['test/ folder'] },
    ],
    [
      'several test folders, of which none is used',
      inEach('train', 'val', 'test', 'Testing'),
      { train: 'train', val: 'val', leftOut: ['Testing/ test', 'test/ test'] },
    ],
    ['class folders alone', BOTH, { train: '.' }],
    ['a class called train', ['bus', 'car', 'train'], { train: '.' }],
    ['a class called val', ['bus', 'car', 'val'], { train: '.' }],
    ['a class called Test', ['bus', 'Test'], { train: '.' }],
    ['classes called train and test', ['bus', 'train', 'test'], { train: '.' }],
    [
      'a class called train among splits',
      inEach('train', 'val').concat('train/train'),
      { train: 'train', val: 'val' },
    ],
    ['classes called train and val in train', ['train/train', 'train/val'], { train: 'train' }],
    [
      'class folders beside test',
      [...BOTH, ...inEach('test')],
      { train: '.', test: 'test', except: ['test'], leftOut: ['test/ test'] },
    ],
    [
      'class folders beside val',
      [...BOTH, ...inEach('val')],
      { train: '.', val: 'val', except: ['val'] },
    ],
    ['a class called test whose images lie deeper', [...BOTH, 'test/a', 'test/b'], { train: '.' }],
    [
      'splits without train',
      inEach('val', 'test'),
      { train: null, val: 'val', test: 'test', leftOut: ['test/ test'] },
    ],
    [
      'class folders that all hold the same folders',
      inEach('apprentissage', 'essai'),
      { train: '.', leftOut: ['apprentissage/ same-folders', 'essai/ same-folders'] },
    ],
    ['classes whose folders differ', ['a/left', 'a/right', 'b/left', 'b/top'], { train: '.' }],
    ['classes that only sound like splits', ['trainers/a', 'value/a'], { train: '.' }],
    ['classes with one folder each', ['test tube/lab', 'train station/city'], { train: '.' }],
    [
      'classes in train that share folders, one called like a split',
      [
        'train/test tube/2019',
        'train/test tube/2020',
        'train/beaker/2019',
        'train/beaker/2020',
        'train/flask/lab',
      ],
      { train: 'train' },
    ],
  ])('%s', async (_, names, expected) => {
    const dir = await folders(...names);
    const below = (at: string): string => path.relative(dir, at) || '.';
    const layout = await findSplits(dir);
    const { train, val = null, test: forTest = null, except = [], leftOut = [] } = expected;
    expect(layout.train && below(layout.train.dir)).toBe(train);
    expect(layout.train?.except ?? []).toEqual(except);
    expect(layout.val && below(layout.val)).toBe(val);
    expect(layout.test && below(layout.test)).toBe(forTest);
    const found = layout.leftOut.map(({ path: at, reason }) => {
      return `${below(at)}${at.endsWith(path.sep) ? '/' : ''} ${reason}`;
    });
    expect(found.sort()).toEqual([...leftOut].sort());
  });

  test('folders of known classes, whatever their names', async () => {
    const dir = await folders('train', 'val');
    await expect(findSplits(dir)).rejects.toThrow(DatasetError);
    const layout = await findSplits(dir, ['train', 'val']);
    expect(layout).toMatchObject({ train: { dir, except: [] }, val: null, isSplit: false });
  });
});

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
  await symlink(path.join(top, 'not mounted'), path.join(dir, name));
  await expect(findSplits(dir)).rejects.toThrow(`${name}, found nothing; repair the link`);
});

test('leftovers and hidden folders beside splits are named and are not classes', async () => {
  const dir = await folders(...inEach('train', 'val'), '__MACOSX/train', '.git/objects', '@eaDir');
  const { leftOut } = await findSplits(dir);
  const found = leftOut.map(({ path: at, reason }) => [path.basename(at), reason]);
  expect(found.sort()).toEqual([
    ['.git', 'hidden'],
    ['@eaDir', 'leftover'],
    ['__MACOSX', 'leftover'],
  ]);
});
