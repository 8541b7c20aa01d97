import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { compareCodePoints } from '../../../src/data/folders/file-names.js';
import { ImageFolder } from '../../../src/data/folders/image-folder.js';
import { DatasetError } from '../../../src/common/errors.js';

let top: string;
let count = 0;

beforeAll(async () => {
  top = await mkdtemp(path.join(os.tmpdir(), 'dataset-'));
});
afterAll(() => rm(top, { recursive: true }));

/** A fresh folder with these (empty) files; names that end in / are folders. */
async function folder(...files: string[]): Promise<string> {
  const dir = path.join(top, String(count++));
  await mkdir(dir);
  for (const file of files) {
    const full = path.join(dir, file);
    await mkdir(file.endsWith('/') ? full : path.dirname(full), { recursive: true });
    if (!file.endsWith('/')) await writeFile(full, '');
  }
  return dir;
}

async function refused(open: Promise<unknown>): Promise<string> {
  const error = await open.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(DatasetError);
  return (error as DatasetError).message;
}

describe('ImageFolder', () => {
  test('classes, labels and samples come in torchvision’s order', async () => {
    const dir = await folder(
      'dog/z.jpg',
      'dog/a.PNG',
      'Cat/2.jpeg',
      'Cat/10.webp',
      'Cat/sub/1.tif',
      'Cat/sub-a/3.bmp',
      'Cat/sub/deep/4.pgm',
      'Cat/notes.txt',
      'éclair/x.tiff',
      'note.jpg',
    );
    const data = await ImageFolder.open(dir);
    expect(data.classes).toEqual(['Cat', 'dog', 'éclair']);
    expect(data.samples.map((s) => [path.relative(dir, s.image), s.label])).toEqual([
      ['Cat/10.webp', 0],
      ['Cat/2.jpeg', 0],
      ['Cat/sub/1.tif', 0],
      // Folders are compared by their whole path, and "-" comes before "/".
      ['Cat/sub-a/3.bmp', 0],
      ['Cat/sub/deep/4.pgm', 0],
      ['dog/a.PNG', 1],
      ['dog/z.jpg', 1],
      ['éclair/x.tiff', 2],
    ]);
    expect(data).toHaveLength(8);
    expect(data.get(5)).toEqual({ image: path.join(dir, 'dog/a.PNG'), label: 1 });
    expect(() => data.get(8)).toThrow(RangeError);
  });

  test('code points, not UTF-16 units', () => {
    // U+FF5E comes before U+1F600, whose first UTF-16 unit is 0xD83D.
    const names = ['\u{1f600}', '～', 'b', 'a', 'ab', ''];
    expect(names.sort(compareCodePoints)).toEqual(['', 'a', 'ab', 'b', '～', '\u{1f600}']);
  });

  test('linked folders and files are followed; a dead link is a sample', async () => {
    const target = await folder('x/1.jpg');
    const dir = await folder('a/0.jpg');
    await symlink(path.join(target, 'x'), path.join(dir, 'b'));
    await symlink(path.join(target, 'nowhere'), path.join(dir, 'a', '9.jpg'));
    const data = await ImageFolder.open(dir);
    expect(data.classes).toEqual(['a', 'b']);
    expect(data.samples.map((s) => path.relative(dir, s.image))).toEqual([
      'a/0.jpg',
      'a/9.jpg',
      'b/1.jpg',
    ]);
  });

  test('hidden folders are not classes', async () => {
    const data = await ImageFolder.open(
      await folder('a/1.jpg', 'b/1.jpg', '.ipynb_checkpoints/1.jpg'),
    );
    expect(data.classes).toEqual(['a', 'b']);
  });

  test('everything left out is named once per kind', async () => {
    const dir = await folder(
      ...['a/1.jpg', 'a/.x/2.jpg', 'a/Thumbs.db', 'b/1.jpg', 'b/1.heic', 'notes.txt', 'stray.png'],
    );
    const data = await ImageFolder.open(dir);
    expect(data).toHaveLength(2);
    expect(data.remarks).toEqual(
      [
        '1 hidden file or folder is left out: "a/.x/"',
        '1 leftover of a system or program is left out: "a/Thumbs.db"',
        '1 image or film in a format that is not read is left out (convert to use): "b/1.heic"',
        '1 file that is not an image is left out: "notes.txt"',
        '1 image that lies in no class folder is left out: "stray.png"',
      ].map((text) => `${dir}: ${text}`),
    );
  });

  test('a given class map: labels are its, a class may be missing', async () => {
    const dir = await folder('dog/1.jpg', 'cat/2.jpg', 'emu/');
    const data = await ImageFolder.open(dir, { classes: ['ant', 'cat', 'dog', 'emu'] });
    expect(data.classes).toEqual(['ant', 'cat', 'dog', 'emu']);
    expect(data.samples.map((s) => s.label)).toEqual([1, 2]);
  });
});

describe('class names that differ only in their Unicode form are the same', () => {
  const names = ['café', 'tôt', 'ひらがな', '한국'];
  const decomposed = names.map((name) => name.normalize('NFD'));
  const images = (folders: readonly string[], image: string): string[] =>
    folders.map((name) => `${name}/${image}`);

  test.each(names.map((name, i) => [name, decomposed[i] ?? '']))('%s', async (name, other) => {
    expect(other).not.toBe(name);
    const train = await ImageFolder.open(await folder(`${name}/1.jpg`, 'x/1.jpg'));
    const dir = await folder(`${other}/1.jpg`, 'x/2.jpg');
    const val = await ImageFolder.open(dir, { classes: train.classes });
    expect(val.classes).toEqual(train.classes);
    expect(val.samples.map(({ image, label }) => [path.relative(dir, image), label])).toEqual(
      [
        [`${other}/1.jpg`, train.classes.indexOf(name)],
        ['x/2.jpg', train.classes.indexOf('x')],
      ].sort((a, b) => Number(a[1]) - Number(b[1])),
    );
    expect(val.remarks).toEqual([]);
  });

  test('a set of one form keeps its names', async () => {
    const data = await ImageFolder.open(await folder(...images(decomposed, '1.jpg')));
    expect(data.classes).toEqual([...decomposed].sort(compareCodePoints));
    expect(data.remarks).toEqual([]);
  });

  test('two folders of one set are one class, and that is said', async () => {
    const [name = '', other = ''] = [names[0], decomposed[0]];
    const dir = await folder(`${name}/1.jpg`, `${other}/2.jpg`, 'x/1.jpg');
    const data = await ImageFolder.open(dir);
    expect(data.classes).toEqual([name, 'x']);
    expect(data.samples.map(({ label }) => label)).toEqual([0, 0, 1]);
    expect(data.remarks.join()).toContain('differs from another in its Unicode form only');
  });

  test('two classes of an earlier model that differ in their form stay two', async () => {
    const [name = '', other = ''] = [names[0], decomposed[0]];
    const dir = await folder(`${name}/1.jpg`, `${other}/2.jpg`);
    const data = await ImageFolder.open(dir, { classes: [other, name] });
    const found = data.samples.map(({ image, label }) => [path.relative(dir, image), label]);
    expect(found).toEqual([
      [path.join(other, '2.jpg'), 0],
      [path.join(name, '1.jpg'), 1],
    ]);
  });

  test('an unknown class is unknown in either form', async () => {
    const dir = await folder(`${names[1] ?? ''}/1.jpg`, 'x/1.jpg');
    const message = await refused(ImageFolder.open(dir, { classes: ['x', names[0] ?? ''] }));
    expect(message).toContain('found "tôt"');
  });
});

describe('what is refused, and what the message says', () => {
  test('a missing folder, and a file', async () => {
    const dir = await folder('file');
    const missing = path.join(dir, 'missing');
    expect(await refused(ImageFolder.open(missing))).toBe(
      `expected a folder with one folder per class at ${missing}, found nothing; ` +
        `the layout is ${missing}/CLASS/IMAGE.jpg`,
    );
    expect(await refused(ImageFolder.open(path.join(dir, 'file')))).toContain('found a file');
  });

  test('fewer than two classes', async () => {
    expect(await refused(ImageFolder.open(await folder('1.jpg')))).toContain(
      'expected two or more class folders',
    );
    expect(await refused(ImageFolder.open(await folder('a/1.jpg')))).toContain('found only "a"');
  });

  test('a class without an image', async () => {
    const message = await refused(ImageFolder.open(await folder('a/1.jpg', 'b/', 'c/1.txt')));
    expect(message).toContain(
      'found none in "b", "c" (1 file that is not an image is left out: "c/1.txt"); add images or remove the folder',
    );
  });

  test('no image at all, with a given class map', async () => {
    const dir = await folder('a/', 'b/');
    const message = await refused(ImageFolder.open(dir, { classes: ['a', 'b'] }));
    expect(message).toContain('found none');
  });

  test('a class the training set does not have', async () => {
    const dir = await folder('a/1.jpg', 'x/1.jpg');
    const message = await refused(ImageFolder.open(dir, { classes: ['a', 'b'] }));
    expect(message).toContain('the training set ("a", "b")');
    expect(message).toContain('found "x"; rename or remove it');
  });

  test('a folder that links to itself', async () => {
    const dir = await folder('a/1.jpg', 'b/1.jpg');
    await symlink(path.join(dir, 'a'), path.join(dir, 'a', 'again'));
    expect(await refused(ImageFolder.open(dir))).toContain(path.join(dir, 'a', 'again'));
  });
});
