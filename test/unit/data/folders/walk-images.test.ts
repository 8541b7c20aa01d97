/** Holds: inputs are used, refused or named. Which files the walker takes, and what it says of the others. */

import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { DatasetError } from '../../../../src/common/errors.js';
import { groupRemarks } from '../../../../src/data/remarks.js';
import { ImageFolder } from '../../../../src/data/folders/image-folder.js';
import { imagesBelow } from '../../../../src/data/folders/walk-images.js';
import { ANY_FOLDER_RULES } from '../../../../src/data/folders/walk-rules.js';
import { temporaryFolders, writeTree, type FileTree } from '../../../support/file-tree.js';

const newFolder = temporaryFolders('walk-');

const tree = (files: FileTree): Promise<string> => writeTree(newFolder(), files);

/** Paths found below a folder, relative to it, and the reasons of those that are left out. */
async function walk(
  dir: string,
): Promise<{ files: string[]; content: string[]; leftOut: string[] }> {
  const { files, byContent, leftOut } = await imagesBelow(dir);
  const below = (file: string): string => path.relative(dir, file);
  return {
    files: files.map(below),
    content: byContent.map(below),
    leftOut: leftOut.map((one) => `${below(one.path)} ${one.reason}`).sort(),
  };
}

test.each([
  ...['.jpg', '.JPG', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.webp', '.avif', '.tif', '.TIFF'],
  ...['.bmp', '.dib', '.ppm', '.pgm', '.pbm', '.pnm', '.apng', '.pjpeg'],
])('a file with the extension %s is an image, at any depth', async (extension) => {
  const names = [`a${extension}`, `b/c/d${extension}`];
  expect(await walk(await tree(names))).toEqual({ files: names, content: [], leftOut: [] });
});

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const JPEG = bytes('\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01');
const PNG = bytes('\x89PNG\r\n\x1a\n\0\0\0\rIHDR');

test.each<[string, Uint8Array]>([
  ['none', JPEG],
  ['photo.jpg_large', JPEG],
  ['photo.jpg?w=300', PNG],
  ['photo.unknown', bytes('RIFF\x10\0\0\0WEBPVP8 ')],
  ['IMG 0001. ', bytes('GIF89a\x01\0\x01\0\x80\0\0\0\0\0')],
  ['scan.001', bytes('II*\0\x08\0\0\0\x01\0\0\0\0\0\0\0')],
  ['note.heic', JPEG.slice(0, 0)],
])('%s is judged by its first bytes', async (name, content) => {
  const found = await walk(await tree({ [name]: content }));
  const isImage = content.length > 0;
  expect(found.files).toEqual(isImage ? [name] : []);
  expect(found.content).toEqual(isImage ? [name] : []);
});

test.each<[string, string]>([
  ['a text', 'hello'],
  ['a text that begins as a bitmap', 'BMW, Audi, Volkswagen'],
  ['a text that begins as a pixmap', 'P1 is the car park'],
  ['nothing', ''],
  ['a drawing', '<svg xmlns="http://www.w3.org/2000/svg"/>'],
  ['a film', '\0\0\0\x18ftypmp42\0\0\0\0'],
])('%s without an extension is not an image', async (_, content) => {
  expect(await walk(await tree({ file: bytes(content) }))).toEqual({
    files: [],
    content: [],
    leftOut: ['file not-image'],
  });
});

describe('is left out at every depth, with the reason', () => {
  test.each<[string, string]>([
    // Hidden: macOS, notebooks, GNOME, KDE, versions, network storage.
    ...[
      ...['._a.jpg', '.DS_Store', '.ipynb_checkpoints/a.jpg', '.thumbnails/a.png', '.directory'],
      ...[
        '.git/a.jpg',
        '.Trash-1000/a.jpg',
        '.AppleDouble/a.jpg',
        '.@__thumb/a.jpg',
        '.hidden.jpg',
      ],
    ].map((name): [string, string] => [name, 'hidden']),
    ...[
      ...['Thumbs.db', 'THUMBS.DB', 'ehthumbs.db', 'desktop.ini', 'Desktop.ini', '__MACOSX/a.jpg'],
      ...['$RECYCLE.BIN/a.jpg', 'System Volume Information/a.jpg', 'lost+found/a.jpg', 'Icon\r'],
      ...[
        '@eaDir/a.jpg',
        '#recycle/a.jpg',
        'SYNOPHOTO_THUMB_XL.jpg',
        'ZbThumbnail.info',
        '_vti_cnf/a.jpg',
      ],
      ...[
        'AlbumArtSmall.jpg',
        '__pycache__/a.pyc',
        'Picasa.ini',
        'a.jpg~',
        'a.jpg_original',
        'a.jpg.bak',
      ],
      ...[
        'a.jpg.part',
        'a.jpg.crdownload',
        'MVI_1.THM',
        'FOUND.001/a.jpg',
        'PaxHeaders.7/a.jpg',
        'a.jpg:Zone.Identifier',
        'RECYCLER/a.jpg',
        '_gsdata_/a.jpg',
        '_thumbs/a.jpg',
        'Recycled/a.jpg',
        'Thumbnails/a.jpg',
        'thumbs/a.jpg',
        'CVS/Root',
        'SYNOINDEX_MEDIA_INFO',
        'a.jpg.icloud',
        'a.jpg.td',
        'a.jpg.xltd',
        'a.jpg.bc!',
      ],
    ].map((name): [string, string] => [name, 'leftover']),
    ...['a.heic', 'a.HEIF', 'a.jxl', 'a.cr2', 'a.NEF', 'a.dng', 'a.svg', 'a.psd', 'a.mp4'].map(
      (name): [string, string] => [name, 'format'],
    ),
    ...['notes.txt', 'labels.csv', 'model.onnx', 'README', 'a.jpg.txt'].map(
      (name): [string, string] => [name, 'not-image'],
    ),
  ])('%s', async (name, reason) => {
    const start = `${name.split('/')[0]} ${reason}`;
    const dir = await tree({ [name]: JPEG.slice(0, reason === 'not-image' ? 1 : 20), 'b.jpg': '' });
    expect(await walk(dir)).toEqual({ files: ['b.jpg'], content: [], leftOut: [start] });
    const deep = await tree({ [`x/y/${name}`]: '', 'b.jpg': '' });
    expect(await walk(deep)).toEqual({ files: ['b.jpg'], content: [], leftOut: [`x/y/${start}`] });
  });
});

test('links are followed at every depth, those to leftovers, too; names decide what is hidden', async () => {
  const target = await tree(['x/1.jpg', 'x/.hidden.jpg', 'x/none']);
  const dir = await tree(['a/0.jpg']);
  await symlink(path.join(target, 'x'), path.join(dir, 'a', 'link'));
  await symlink(path.join(target, 'x'), path.join(dir, '.link'));
  await symlink(path.join(target, 'x', '.hidden.jpg'), path.join(dir, 'shown.jpg'));
  await symlink(path.join(dir, 'nowhere'), path.join(dir, 'dead'));
  expect(await walk(dir)).toEqual({
    files: ['shown.jpg', 'a/0.jpg', 'a/link/1.jpg'],
    content: [],
    leftOut: [
      '.link hidden',
      'a/link/.hidden.jpg hidden',
      'a/link/none not-image',
      'dead not-image',
    ],
  });
});

test('a pipe without an extension is not read, which would never end', async () => {
  const dir = await tree(['a.jpg']);
  execFileSync('mkfifo', [path.join(dir, 'pipe')]);
  expect(await walk(dir)).toEqual({ files: ['a.jpg'], content: [], leftOut: ['pipe not-image'] });
});

test('remarks: one for each reason, with the number and five examples', async () => {
  const dir = await tree([
    ...['a/1.txt', 'a/2.txt', 'a/3.txt', 'a/4.txt', 'a/5.txt', 'a/6.txt', 'a/b.jpg'],
    ...['.git/x', 'Icon\r'],
  ]);
  await mkdir(path.join(dir, 'empty'));
  const { leftOut } = await imagesBelow(dir);
  const remarks = groupRemarks(dir, [...leftOut, ...leftOut]);
  expect(remarks).toEqual([
    {
      reason: 'hidden',
      count: 1,
      examples: ['.git/'],
      message: `${dir}: 1 hidden file or folder is left out: ".git/"`,
    },
    {
      reason: 'leftover',
      count: 1,
      examples: ['Icon\r'],
      message: `${dir}: 1 leftover of a system or program is left out: "Icon\\r"`,
    },
    {
      reason: 'not-image',
      count: 6,
      examples: [1, 2, 3, 4, 5].map((i) => `a/${i}.txt`),
      message:
        `${dir}: 6 files that are not images are left out: "a/1.txt", "a/2.txt", "a/3.txt", "a/4.txt", ` +
        '"a/5.txt" and 1 more',
    },
  ]);
});

test.each(['recycled', 'Thumbs', 'CVS'])('a class may be called %s', async (name) => {
  const dir = await tree([`${name}/a.jpg`, `${name}/thumbs/a.jpg`, 'zebra/a.jpg']);
  const { classes, length } = await ImageFolder.open(dir);
  expect([classes, length]).toEqual([[name, 'zebra'], 2]);
  const { files } = await imagesBelow(dir, ANY_FOLDER_RULES);
  expect(files).toHaveLength(3);
});

const onLinux = process.platform === 'linux' ? test : test.skip;
onLinux.each<[string, number[], string]>([
  ['an image', [0xff, 0xfe], '.png'],
  ['a folder in Latin-1', [0xe9], '/'],
  ['a cut name', [0x61, 0xc3], '.jpg'],
])('a name that is not UTF-8 is refused as such: %s', async (_, bytes, end) => {
  const dir = await tree(['a/0.jpg', 'b/0.jpg']);
  const at = Buffer.concat([Buffer.from(`${dir}/a/`), Buffer.from(bytes)]);
  if (end === '/') await mkdir(at);
  else await writeFile(Buffer.concat([at, Buffer.from(end)]), JPEG);
  const opened = ImageFolder.open(dir);
  await expect(opened).rejects.toThrow(DatasetError);
  await expect(opened).rejects.toThrow(/in UTF-8 in .*\uFFFD.*, which is not .*rename it/);
});

onLinux('a file that is left out may have a name that is not UTF-8', async () => {
  const dir = await tree(['a/0.jpg', 'b/0.jpg']);
  await writeFile(Buffer.concat([Buffer.from(`${dir}/a/`), Buffer.from([0xff])]), 'text');
  expect((await ImageFolder.open(dir)).leftOut).toMatchObject([{ reason: 'not-image' }]);
});
