/**
 * Holds: inputs are used, refused or named. Whole commands on data folders of all layouts, with leftovers of systems
 * in them: one walker for `train`, `find-lr`, `evaluate` and `predict`.
 */

import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CheckedEvent, DataRemark, TrainEvent } from '../../src/common/events.js';
import { evaluate, exportInference, findLr, predict, train } from '../../src/index.js';
import { writeTree } from '../support/file-tree.js';
import { TINY } from '../support/paths.js';
import { call } from '../support/run-process.js';
import { coloured } from '../support/tiny-network.js';

let cwd: string;
let count = 0;
/** A run of the classes cat and dog. */
let run: string;

const SETTINGS = { artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const;
const SPLITS = ['train', 'valid', 'test'];

beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'layouts-'));
  process.env.ORT_FINETUNE_CACHE = path.join(cwd, 'cache');
  run = (await trained(await images(SPLITS.flatMap((split) => classesIn(split))))).runDir;
});
afterAll(async () => {
  delete process.env.ORT_FINETUNE_CACHE;
  await rm(cwd, { recursive: true });
});

const classesIn = (split: string, names = ['cat', 'dog']): string[] =>
  names.map((name) => `${split}/${name}`);

let seed = 0;
/** Makes a folder with `each` images in each of these class folders, and other files. */
async function images(
  folders: readonly string[],
  more: Readonly<Record<string, string | Uint8Array>> = {},
  each = 2,
): Promise<string> {
  const files: Record<string, string | Uint8Array> = { ...more };
  for (const [label, folder] of folders.entries()) {
    for (let i = 0; i < each; i++) {
      files[`${folder}/${i}.png`] = await coloured(label % 3, ++seed, 32);
    }
  }
  return writeTree(path.join(cwd, `data-${count++}`), files);
}

interface Trained {
  readonly runDir: string;
  readonly events: readonly TrainEvent[];
  readonly checked: CheckedEvent | undefined;
  readonly warnings: readonly Extract<TrainEvent, { type: 'warning' }>[];
}

async function trained(data: string): Promise<Trained> {
  const events: TrainEvent[] = [];
  const out = path.join(cwd, `run-${count++}`);
  const onEvent = (event: TrainEvent): void => void events.push(event);
  const { runDir } = await train({ ...SETTINGS, data, out, epochs: 1, onEvent });
  const checked = events.find((event) => event.type === 'checked');
  const warnings = events.filter((event) => event.type === 'warning');
  return { runDir, events, checked, warnings };
}

const perClass = (names: readonly string[], train: number, val: number): CheckedEvent['classes'] =>
  names.map((name) => ({ name, train, val }));

describe('train takes the split folders, whatever their spelling', () => {
  test.each([
    ['Train, Val', ['Train', 'Val'], []],
    ['TRAIN, VALID, TEST', ['TRAIN', 'VALID', 'TEST'], ['TEST/']],
    ['Training, Validation, Testing', ['Training', 'Validation', 'Testing'], ['Testing/']],
  ])('%s', async (_, splits, left) => {
    const data = await images(splits.flatMap((split) => classesIn(split)));
    const { checked, warnings } = await trained(data);
    expect(checked?.classes).toEqual(perClass(['cat', 'dog'], 2, 2));
    expect(warnings.map(({ reason, examples }) => [reason, examples])).toEqual(
      left.length === 0 ? [] : [['test', left]],
    );
  });

  test.each([
    ['train', ['bus', 'car', 'train']],
    ['Test', ['Test', 'exam']],
  ])('a class may be called %s', async (_, names) => {
    const { checked, warnings } = await trained(await images(names));
    expect(checked?.classes).toEqual(perClass(names, 1, 1));
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('no ')]);
  });

  test('folders that can be read in two ways are refused, and both are named', async () => {
    const both = await images(['train', 'val', 'bus']);
    await expect(trained(both)).rejects.toThrow(/"train", "val".* splits .* classes/);
    const twice = await images([...classesIn('val'), ...classesIn('valid'), ...classesIn('train')]);
    await expect(trained(twice)).rejects.toThrow(/"val", "valid"/);
  });
});

/** Files that are left out wherever they are, and the reason for each. */
const LITTER: Readonly<Record<string, string>> = {
  '._0.png': 'hidden',
  '.DS_Store': 'hidden',
  '.ipynb_checkpoints/0-checkpoint.png': 'hidden',
  'Thumbs.db': 'leftover',
  '__MACOSX/0.png': 'leftover',
  '@eaDir/0.png': 'leftover',
  '0.png~': 'leftover',
  'IMG_1.heic': 'format',
  'notes.txt': 'not-image',
};

/** Returns the litter below a folder, with good images as its content: nothing but the name keeps it out. */
async function litterIn(folder: string): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for (const [name, reason] of Object.entries(LITTER)) {
    const image = await coloured(0, ++seed, 32);
    files[`${folder}/${name}`] = reason === 'not-image' ? Uint8Array.of(65) : image;
  }
  return files;
}

describe('leftovers are not used at any depth, and are named once', () => {
  const total = Object.keys(LITTER).length;
  const countOf = (remarks: readonly Partial<DataRemark>[]): number =>
    remarks.reduce((sum, remark) => sum + (remark.count ?? 0), 0);

  test.each(['.', 'train/cat', 'val/dog/deep/deeper'])(
    'in %s: train, its report and its JSON',
    async (folder) => {
      const folders = [...classesIn('train'), ...classesIn('val')];
      const data = await images(folders, await litterIn(folder));
      const { checked, warnings, runDir } = await trained(data);
      expect(checked?.classes).toEqual(perClass(['cat', 'dog'], 2, 2));
      expect(countOf(warnings)).toBe(total);
      expect(warnings.map(({ reason }) => reason)).toEqual([
        ...['hidden', 'leftover', 'format', 'not-image'],
      ]);
      const report = await readFile(path.join(runDir, 'report.html'), 'utf8');
      const table = report.split('<table id="remarks">')[1]?.split('</table>')[0] ?? '';
      for (const { count: number = 0 } of warnings) expect(table).toContain(`<td>${number}</td>`);
      expect(table).toContain('Thumbs.db');
    },
  );

  test('evaluate and predict, for people and for programs', async () => {
    const data = await images(classesIn('.'), await litterIn('cat/deep'));
    const evaluated = await evaluate({ run, data, workers: 1 });
    expect([evaluated.images, evaluated.data]).toEqual([4, data]);
    expect(countOf(evaluated.remarks)).toBe(total);
    const remarks: DataRemark[] = [];
    const onRemark = (remark: DataRemark): void => void remarks.push(remark);
    const paths: string[] = [];
    for await (const one of predict({ run, images: data, workers: 1, onRemark })) {
      expect(one.error).toBeUndefined();
      paths.push(path.relative(data, one.path));
    }
    expect(paths).toEqual(['cat/0.png', 'cat/1.png', 'dog/0.png', 'dog/1.png']);
    expect(countOf(remarks)).toBe(total);

    const words = ['predict', '--run', run, '--workers', '1', data];
    const text = await call(words, { cwd });
    expect([text.code, text.stdout.trimEnd().split('\n').length]).toEqual([0, 4]);
    expect(text.stderr.trimEnd().split('\n')).toEqual(
      remarks.map(({ message }) => `warning: ${message}`),
    );
    const json = await call([...words, '--json'], { cwd });
    expect(json.stderr).toBe('');
    const lines = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type?: string });
    expect(lines.filter(({ type }) => type === 'warning')).toEqual(
      remarks.map((remark) => ({ type: 'warning', ...remark })),
    );
    expect(lines).toHaveLength(4 + remarks.length);
  });

  test('find-lr names them, too', async () => {
    const events: TrainEvent[] = [];
    const data = await images(classesIn('.'), await litterIn('cat'));
    await findLr({ ...SETTINGS, data, steps: 10, onEvent: (event) => void events.push(event) });
    expect(countOf(events.filter((event) => event.type === 'warning'))).toBe(total);
  });
});

test('images are known by any extension, or by their first bytes with a remark', async () => {
  const image = (): Promise<Sharp> => coloured(0, ++seed, 32).then((bytes) => sharp(bytes));
  const files: Record<string, Uint8Array> = {
    ...{ 'a.jpg': await (await image()).jpeg().toBuffer() },
    ...{ 'b.PNG': await (await image()).png().toBuffer() },
    ...{ 'd.jfif': await (await image()).jpeg().toBuffer() },
    ...{ 'e.jpe': await (await image()).jpeg().toBuffer() },
    ...{ 'f.gif': await (await image()).gif().toBuffer() },
    ...{ 'g.avif': await (await image()).avif().toBuffer() },
    ...{ h: await (await image()).jpeg().toBuffer() },
    ...{ 'i.jpg_large': await (await image()).webp().toBuffer() },
    // Begins as an image and is not one: not worth stopping for.
    ...{ j: (await (await image()).jpeg().toBuffer()).subarray(0, 200) },
  };
  const names = Object.keys(files);
  const photos = await writeTree(path.join(cwd, 'photos'), files);
  const { code, stdout, stderr } = await call(['predict', '--run', run, photos], { cwd });
  expect(stdout.trimEnd().split('\n')).toHaveLength(8);
  expect(stderr).toMatch(
    /warning: .*: 3 files without a known extension .* "h", "i.jpg_large", "j"\n/,
  );
  expect(code).toBe(1);

  const data = await images(['train/dog', 'val/dog']);
  for (const split of ['train', 'val']) {
    await cp(photos, path.join(data, split, 'cat'), { recursive: true });
  }
  const { checked, warnings } = await trained(data);
  expect(checked?.classes[0]).toEqual({ name: 'cat', train: 8, val: 8 });
  const content = warnings.find(({ reason }) => reason === 'content');
  expect(content).toMatchObject({ count: 4, examples: expect.arrayContaining(['train/cat/h']) });
  expect(warnings.find(({ reason }) => reason === 'not-image')?.examples).toEqual([
    ...['train/cat/j', 'val/cat/j'],
  ]);
  expect(names).toHaveLength(9);

  const evaluated = await evaluate({ run, data, workers: 1 });
  expect(evaluated.images).toBe(10);
  const { reason, examples } = evaluated.remarks.at(-1) ?? {};
  expect([reason, examples]).toEqual(['content', ['val/cat/h', 'val/cat/i.jpg_large']]);
  expect(evaluated.remarks.find((one) => one.reason === 'not-image')?.examples).toEqual([
    'val/cat/j',
  ]);
});

describe('evaluate understands the layouts of train', () => {
  test.each<[string, string[], string, string[]]>([
    ['class folders', [''], '.', []],
    ['train and val', ['train', 'val'], 'val', []],
    ['all three', ['Train', 'Valid', 'Test'], 'Valid', ['Test/']],
    ['train and test', ['train', 'test'], 'test', []],
    ['test alone', ['testing'], 'testing', []],
    ['val and test', ['val', 'test'], 'val', ['test/']],
    ['class folders beside test', ['', 'test'], '.', ['test/']],
    ['class folders beside val', ['', 'val'], 'val', []],
  ])('%s', async (_, splits, used, left) => {
    const data = await images(splits.flatMap((split) => classesIn(split || '.')));
    const result = await evaluate({ run, data, workers: 1 });
    expect([path.relative(data, result.data) || '.', result.images]).toEqual([used, 4]);
    expect(result.remarks.flatMap(({ examples }) => examples)).toEqual(left);
  });

  test('the command says which folder it used, and what is left', async () => {
    const data = await images(SPLITS.flatMap((split) => classesIn(split)));
    const words = ['evaluate', '--run', run, '--data', data, '--workers', '1'];
    const { code, stdout, stderr } = await call(words, { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain(`Data   ${path.join(data, 'valid')}\n`);
    const offer = `(evaluate --data ${path.join(data, 'test')} measures on it): "test/"`;
    expect(stderr).toBe(`warning: ${data}: 1 test folder is left out ${offer}\n`);
  });

  test('train alone is refused, because its images were trained on', async () => {
    const data = await images(classesIn('train'));
    await expect(evaluate({ run, data })).rejects.toThrow(
      /validation .* or testing .*only "train"/,
    );
  });
});

test('evaluate names several test folders, of which one is to be given', async () => {
  const data = await images(['train', 'test', 'Testing'].flatMap((split) => classesIn(split)));
  await expect(evaluate({ run, data })).rejects.toThrow(
    /found several for testing \("Testing", "test"\); give the folder/,
  );
});

test('class names in another Unicode form are the same classes, in training and evaluation', async () => {
  const [composed, decomposed] = (['NFC', 'NFD'] as const).map((form) =>
    ['café', 'thé'].map((name) => name.normalize(form)),
  );
  const data = await images([...classesIn('train', composed), ...classesIn('val', decomposed)]);
  const { checked, runDir } = await trained(data);
  expect(checked?.classes).toEqual(perClass(composed ?? [], 2, 2));
  const folder = await images(classesIn('.', decomposed));
  expect((await evaluate({ run: runDir, data: folder, workers: 1 })).images).toBe(4);
});

test('export tries the file on the validation images of any layout', async () => {
  const replayed = await exportInference({ run, out: path.join(cwd, 'model.onnx') });
  expect(replayed.replay).toMatchObject({ images: 4, differing: 0 });
  expect(await readdir(run)).toContain('report.html');
});
