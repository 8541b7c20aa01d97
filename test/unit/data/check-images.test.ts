/** What is found before the first step, and what becomes of it. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import {
  BadImagesError,
  ConfigError,
  DatasetError,
  InterruptedError,
} from '../../../src/common/errors.js';
import { train, type TrainEvent, type TrainOptions, type TrainResult } from '../../../src/index.js';
import { ImageFolder, LoaderPool, openArtifacts, checkImages } from '../../../src/internal.js';
import { decodeFixture } from '../../parity/pixel-fixtures.js';
import { makeData } from '../../support/run-process.js';
import { TINY } from '../../support/paths.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

let dir: string;
let pool: LoaderPool;
let data: string;
let number = 0;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'preflight-test-'));
  process.env.ORT_FINETUNE_CACHE = path.join(dir, 'cache');
  await makeData(path.join(dir, 'data'), 6, 3);
  const { images } = nodePlatform;
  pool = new LoaderPool({ images, artifacts: await openArtifacts(TINY), workers: 2 });
});
afterAll(async () => {
  await pool.close();
  await rm(dir, { recursive: true });
});
beforeEach(async () => {
  data = path.join(dir, `data-${++number}`);
  await cp(path.join(dir, 'data'), data, { recursive: true });
});

function run(more: Partial<TrainOptions> = {}): Promise<TrainResult> {
  return train({
    ...{ data, artifacts: TINY, out: path.join(dir, `run-${number}`), weights: 'random' },
    ...{ device: 'cpu', threads: 1, workers: 1, epochs: 1 },
    ...more,
  });
}

async function collected(options: Partial<TrainOptions> = {}): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  await run({ ...options, onEvent: (event) => events.push(event) });
  return events;
}

const warnings = (events: readonly TrainEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));

const inTrain = (name: string): string => path.join(data, 'train', 'red', name);

/** One file of each kind that cannot be used; what must be said of it. */
async function addBroken(): Promise<Record<string, RegExp>> {
  const jpeg = await sharp(await readFile(inTrain('0.png')))
    .jpeg()
    .toBuffer();
  const png = await readFile(inTrain('1.png'));
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  // A header that promises more pixels than are accepted, and no pixels.
  const huge = await sharp({ create: { width: 9, height: 9, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  huge.writeUInt32BE(20_000, 16);
  huge.writeUInt32BE(20_000, 20);
  const files: Record<string, [string | Uint8Array, RegExp]> = {
    'cut off.jpg': [jpeg.subarray(0, jpeg.length - 100), /./],
    'cut off.png': [png.subarray(0, png.length - 30), /./],
    'empty.jpg': ['', /an empty file/],
    'huge.png': [huge, /more than \d+ pixels/],
    'page.jpg': ['<!doctype html>', /a web page \(HTML\)/],
    'windows.bmp': ['BM1234567890', /a BMP file that is cut off/],
    'vector.jpg': [svg, /an SVG drawing/],
  };
  const expected: Record<string, RegExp> = {
    'dead link.jpg': /no file/,
    'link to itself.jpg': /leads back to itself/,
    'pipe.jpg': /not a regular file/,
  };
  for (const [name, [content, problem]] of Object.entries(files)) {
    await writeFile(inTrain(name), content);
    expected[name] = problem;
  }
  await symlink(path.join(dir, 'nowhere.jpg'), inTrain('dead link.jpg'));
  await symlink('link to itself.jpg', inTrain('link to itself.jpg'));
  execFileSync('mkfifo', [inTrain('pipe.jpg')]);
  return expected;
}

describe('broken images', () => {
  test('stop the run before anything is written, with every path and reason', async () => {
    const expected = await addBroken();
    const error = await run().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BadImagesError);
    const { images, message } = error as BadImagesError;
    const names = images.map((image) => path.basename(image.path));
    expect(names.sort()).toEqual(Object.keys(expected).sort());
    for (const { path: file, reason } of images) {
      expect(reason).toMatch(expected[path.basename(file)] ?? /never/);
    }
    expect(message).toMatch(/found 10 that are not: .* and 7 more; repair.*--on-bad-image skip/);
    await expect(readdir(path.join(dir, `run-${number}`))).rejects.toThrow('ENOENT');
  });

  test('can be left out: counted, listed, and the rest is as if they had never been', async () => {
    const events = await collected({ out: path.join(dir, 'clean') });
    const start = events.find((event) => event.type === 'start');
    const expected = await addBroken();
    const again = await collected({ onBadImage: 'skip' });
    const checked = again.find((event) => event.type === 'checked');
    expect(checked?.skipped).toHaveLength(10);
    expect(checked?.classes).toEqual(['blue', 'red'].map((name) => ({ name, train: 6, val: 3 })));
    expect(again.find((event) => event.type === 'start')).toMatchObject({
      trainImages: start?.trainImages,
    });
    const runDir = path.join(dir, `run-${number}`);
    const listed = (await readFile(path.join(runDir, 'skipped.jsonl'), 'utf8')).trimEnd();
    const names = listed.split('\n').map((line) => {
      return path.basename((JSON.parse(line) as { path: string }).path);
    });
    expect(names.sort()).toEqual(Object.keys(expected).sort());
    const losses = async (folder: string): Promise<number[]> => {
      const text = await readFile(path.join(folder, 'metrics.jsonl'), 'utf8');
      const lines = text.trimEnd().split('\n');
      return lines.map((line) => (JSON.parse(line) as { loss: number }).loss);
    };
    expect(await losses(runDir)).toEqual(await losses(path.join(dir, 'clean')));
  });

  test('a class of which nothing is left ends the run all the same', async () => {
    for (const name of await readdir(path.join(data, 'train', 'red'))) {
      await writeFile(inTrain(name), 'no image');
    }
    const attempt = run({ onBadImage: 'skip' });
    await expect(attempt).rejects.toThrow(DatasetError);
    await expect(attempt).rejects.toThrow(/training of class red/);
  });
});

describe('what is unusual is told, and does not stop the run', () => {
  test('the same image in training and validation, and in two classes', async () => {
    await copyFile(inTrain('2.png'), path.join(data, 'val', 'blue', 'copy.png'));
    await copyFile(inTrain('3.png'), path.join(data, 'train', 'blue', 'other.png'));
    const told = warnings(await collected()).join('\n');
    expect(told).toMatch(
      /^1 validation image is a training image, .*train\/red\/2\.png = val\/blue\/copy\.png$/m,
    );
    expect(told).toMatch(/^1 image is in two classes: .*blue.other\.png = .*red.3\.png$/m);
  });

  test('classes without validation images, hidden folders, files that are no images', async () => {
    await rm(path.join(data, 'val', 'blue'), { recursive: true });
    await mkdir(path.join(data, 'train', '.ipynb_checkpoints'));
    await writeFile(inTrain('notes.txt'), '');
    await writeFile(inTrain('.DS_Store'), '');
    const told = warnings(await collected()).join('\n');
    expect(told).toMatch(/: there is no image of class: "val\/blue"$/m);
    expect(told).toMatch(
      /: 2 hidden .* "train\/\.ipynb_checkpoints\/", "train\/red\/\.DS_Store"$/m,
    );
    expect(told).toMatch(/: 1 file that is not an image .* "train\/red\/notes\.txt"$/m);
  });

  test('an empty class folder and a folder that links to itself stop it', async () => {
    await mkdir(path.join(data, 'train', 'white'));
    await expect(run()).rejects.toThrow(/found none in "white"/);
    await rm(path.join(data, 'train', 'white'), { recursive: true });
    await symlink(path.join(data, 'train'), inTrain('loop'));
    await expect(run()).rejects.toThrow(/without a cycle/);
    await rm(inTrain('loop'));
    // A class that would be missing without a word.
    await symlink('white', path.join(data, 'train', 'white'));
    await expect(run()).rejects.toThrow(/train.white, found a link that leads back to itself/);
    await rm(path.join(data, 'train', 'white'));
    await symlink(path.join(dir, 'nowhere'), path.join(data, 'val', 'red link'));
    await expect(run()).rejects.toThrow(/val.red link, found nothing; repair the link/);
  });
});

describe('the cache', () => {
  const cache = (): string => path.join(dir, `cache-${number}`);
  const look = async (): Promise<Awaited<ReturnType<typeof checkImages>>> =>
    checkImages(await ImageFolder.open(path.join(data, 'train')), pool, { cache: cache() });

  test('spares a second look, at broken files, too, until they change', async () => {
    await writeFile(inTrain('broken.jpg'), 'no image');
    const first = await look();
    expect([first.cached, first.bad.length, first.hashes.size]).toEqual([0, 1, 12]);
    expect(await look()).toEqual({ ...first, cached: 13 });

    await copyFile(inTrain('4.png'), inTrain('broken.jpg'));
    const second = await look();
    expect([second.cached, second.bad.length, second.hashes.size]).toEqual([12, 0, 13]);

    // The same size, another time of change.
    await utimes(inTrain('5.png'), new Date(), new Date(2020, 1, 1));
    expect((await look()).cached).toBe(12);
  });

  test('what may not be looked at is not known', async () => {
    await symlink(path.join(dir, 'nowhere'), inTrain('dead.jpg'));
    expect((await look()).cached).toBe(0);
    expect((await look()).cached).toBe(12);
  });

  test('knows both halves of a folder that is split', async () => {
    const known = async (): Promise<number | undefined> => {
      const events = await collected({
        data: path.join(data, 'train'),
        out: path.join(dir, `split-${++number}`),
      });
      return events.find((event) => event.type === 'checked')?.known;
    };
    process.env.ORT_FINETUNE_CACHE = cache();
    try {
      expect([await known(), await known()]).toEqual([0, 12]);
    } finally {
      process.env.ORT_FINETUNE_CACHE = path.join(dir, 'cache');
    }
  });

  test('that is damaged is none', async () => {
    const first = await look();
    const folder = path.join(cache(), 'images');
    const [name = ''] = await readdir(folder);
    const text = await readFile(path.join(folder, name), 'utf8');
    for (const content of ['', '{', 'null', '{"entries":{}}', text.replace('{', '{"a":[],')]) {
      await writeFile(path.join(folder, name), content);
      const { hashes, bad } = await look();
      expect({ hashes, bad }).toEqual({ hashes: first.hashes, bad: first.bad });
    }
  });

  test('that cannot be written is done without', async () => {
    await writeFile(cache(), 'a file where a folder should be');
    expect((await look()).cached).toBe(0);
    expect((await look()).cached).toBe(0);
  });
});

test('progress is reported up to the last image, and a stop is heeded', async () => {
  const events = await collected();
  const looks = events.flatMap((event) => (event.type === 'preflight' ? [event.done] : []));
  expect(looks.at(-1)).toBe(18);
  expect(looks).toEqual([...looks].sort((a, b) => a - b));
  const stop = new AbortController();
  const attempt = run({
    out: path.join(dir, 'never'),
    signal: stop.signal,
    onEvent: ({ type }) => {
      if (type === 'preflight') stop.abort('enough');
    },
  });
  await expect(attempt).rejects.toThrow(InterruptedError);
  await expect(readdir(path.join(dir, 'never'))).rejects.toThrow('ENOENT');
});

test('a run is not resumed on other images, and the differences are listed', async () => {
  const { runDir } = await run();
  await rm(inTrain('0.png'));
  await copyFile(inTrain('1.png'), inTrain('2.png'));
  await copyFile(inTrain('3.png'), inTrain('new.png'));
  const attempt = train({ resume: runDir, epochs: 2 });
  await expect(attempt).rejects.toThrow(ConfigError);
  await expect(attempt).rejects.toThrow(
    /images are not the same \(new: train\/red\/new\.png; changed: train\/red\/2\.png; gone: train\/red\/0\.png\)/,
  );
  // The same images in another place are the same.
  const moved = path.join(dir, 'moved');
  await cp(path.join(dir, 'data'), moved, { recursive: true });
  expect((await train({ resume: runDir, epochs: 2, data: moved })).runDir).toBe(runDir);
});

const GOOD = ['gray.jpg', 'palette-alpha.png', 'gray-16bit.png', 'cmyk.jpg', 'exif-rotated.jpg'];

test.each(GOOD)('%s is a good image', async (name) => {
  await copyFile(decodeFixture(name), inTrain(name));
  const { bad } = await checkImages(await ImageFolder.open(path.join(data, 'train')), pool);
  expect(bad).toEqual([]);
});
