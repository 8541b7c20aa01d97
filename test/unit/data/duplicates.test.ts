/** Holds: a message names the files that are there. Warnings about files that are in the data twice. */

import { expect, test } from '@jest/globals';
import { duplicateWarnings } from '../../../src/data/duplicates.js';

const A = 'train/cat/a.jpg';

test.each<[string, string, Readonly<Record<string, string>>, string | null]>([
  ['train and val', 'val/cat/b.jpg', {}, 'train/cat/a.jpg = val/cat/b.jpg'],
  [
    'Train and valid',
    'val/cat/b.jpg',
    { [A]: 'Train/cat/a.jpg', 'val/cat/b.jpg': 'valid/cat/b.jpg' },
    'Train/cat/a.jpg = valid/cat/b.jpg',
  ],
  [
    'class folders alone',
    'val/cat/b.jpg',
    { [A]: 'cat/a.jpg', 'val/cat/b.jpg': 'cat/b.jpg' },
    'cat/a.jpg = cat/b.jpg',
  ],
  [
    'two classes',
    'train/dog/b.jpg',
    { [A]: 'Train/cat/a.jpg', 'train/dog/b.jpg': 'Train/dog/b.jpg' },
    'Train/cat/a.jpg = Train/dog/b.jpg',
  ],
  ['one class', 'train/cat/b.jpg', {}, null],
])('%s', (_, other, shown, pair) => {
  const files = [A, other].map((name) => ({ name, sha256: 'of both' }));
  const found = duplicateWarnings(files, new Map(Object.entries(shown)));
  expect(found).toEqual(pair === null ? [] : [expect.stringMatching(`: ${pair}$`)]);
});
