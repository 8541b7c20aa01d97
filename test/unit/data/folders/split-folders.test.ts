/** Holds: inputs are used, refused or named. The layouts of data folders, by the names and the content of folders. */

import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { DatasetError } from '../../../../src/common/errors.js';
import { findSplits } from '../../../../src/data/folders/split-folders.js';
import { possibleRole, splitRole } from '../../../../src/data/folders/split-names.js';
import {
  CLASS_NAMES as BOTH,
  imageFolders,
  inEach,
  temporaryFolders,
} from '../../../support/file-tree.js';

const newFolder = temporaryFolders('layout-');

const folders = (...names: string[]): Promise<string> => imageFolders(newFolder(), names);

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
    ['classes with one folder each', ['test tube/lab', 'beaker/city'], { train: '.' }],
    ['classes of images, one like a split', ['test tube', 'beaker', 'flask'], { train: '.' }],
    ['several like one split', ['test tube', 'test strip', 'flask'], { train: '.' }],
    [
      'classes in train with names like those of splits',
      ['train/train station', 'train/test tube', 'train/val_1/lab'],
      { train: 'train' },
    ],
    [
      'a copy of the class folders',
      ['yes', 'no', 'brain_tumor_dataset/yes', 'brain_tumor_dataset/no'],
      { train: '.', except: ['brain_tumor_dataset'], leftOut: ['brain_tumor_dataset/ copy'] },
    ],
    [
      'copies in lone folders, of some classes, in train',
      ['A', 'B', 'C', 'backup/old/A', 'backup/old/B', 'more/B', 'more/C'].map(
        (name) => `train/${name}`,
      ),
      {
        train: 'train',
        except: ['backup', 'more'],
        leftOut: ['train/backup/ copy', 'train/more/ copy'],
      },
    ],
    [
      'a copy beside a validation folder',
      [...BOTH, ...inEach('val', 'copy')],
      { train: '.', val: 'val', except: ['val', 'copy'], leftOut: ['copy/ copy'] },
    ],
    ['a folder with one name of a class', [...BOTH, 'both/cat'], { train: '.' }],
    ['a folder with another name', [...BOTH, 'pets/cat', 'pets/emu'], { train: '.' }],
    ['a folder with images, too', [...BOTH, 'pets', ...inEach('pets')], { train: '.' }],
    ['classes in each other', ['A/B', 'A/C', 'B/A', 'B/C', 'C/A', 'C/B'], { train: '.' }],
    ...(
      [
        ['trains', ['a', 'b', 'c'], 'vals', ['a', 'b']],
        ['Trainingsdaten', ['a', 'b'], 'Testdaten', ['a', 'b', 'c']],
        ['entrenamiento/x', ['a', 'b', 'c', 'd'], 'prueba', ['a', 'b', 'e', 'f']],
      ] as const
    ).map(([one, own, other, its]): [string, string[], Expected] => {
      const leftOut = [one, other].map((name) => `${name.split('/')[0] ?? ''}/ same-folders`);
      const names = [...own.map((name) => `${one}/${name}`), ...its.map((a) => `${other}/${a}`)];
      return [`${one} and ${other}, which share most folders`, names, { train: '.', leftOut }];
    }),
    [
      'classes that share a few folders',
      [...['1', '2', '3', '4', '5'].map((name) => `A/${name}`), 'B/1', 'B/2', 'B/6', 'B/7', 'B/8'],
      { train: '.' },
    ],
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
