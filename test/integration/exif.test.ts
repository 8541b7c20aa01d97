/**
 * Holds: every way into a network sees the same pixels.
 *
 * A network that is trained on photos with EXIF orientations gives the numbers of one that is trained on copies without:
 * copies whose pixels sharp has turned for `apply`, copies of the pixels as they are stored for `ignore`.
 */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { Philox } from '../../src/common/philox.js';
import { describeModel } from '../../src/inference/model-file.js';
import {
  ConfigError,
  evaluate,
  exportInference,
  findLr,
  InterruptedError,
  predict,
  train,
  type PredictOptions,
  type TrainEvent,
  type TrainOptions,
} from '../../src/index.js';
import { readCheckpoint } from '../../src/platform/node/defaults.js';
import { call } from '../support/run-process.js';
import { TINY } from '../support/paths.js';

type Use = 'ignore' | 'apply';
const USES = ['ignore', 'apply'] as const;
const CLASSES = ['bright', 'dark'] as const;
const COUNTS = { train: 9, val: 6 } as const;
const IMAGES = CLASSES.length * (COUNTS.train + COUNTS.val);
/** Formats of the photos, eight of each: one per orientation. */
const FORMATS: readonly ((image: Sharp) => Sharp)[] = [
  (image) => image.png(),
  (image) => image.webp({ lossless: true }),
  (image) => image.jpeg({ quality: 95 }),
  (image) => image.tiff({ compression: 'lzw' }),
];
/** TIFF images, from this one on, are always turned. */
const FIRST_TIFF = 24;
/** Orientations other than 1, in seven of eight images. */
const ORIENTED = (FIRST_TIFF * 7) / 8;

let dir: string;
/** Runs by the setting and their data: the photos, or copies without EXIF. */
const runs = new Map<string, { runDir: string; events: TrainEvent[] }>();

/** Returns a photo with an orientation: blocks of noise, so that no turn of it is like another. */
async function photo(label: number, seed: number): Promise<Uint8Array> {
  const random = new Philox(seed, 102);
  const [width, height] = [9, 6 + (seed % 2)];
  const levels = Uint8Array.from(
    { length: 3 * width * height },
    () => 100 * label + random.below(150),
  );
  const image = sharp(levels, { raw: { width, height, channels: 3 } });
  const large = image.resize(5 * width, 5 * height, { kernel: 'nearest' });
  const noted = large.withMetadata({ orientation: 1 + (seed % 8) });
  const encode = FORMATS[Math.floor(seed / 8)];
  if (encode === undefined) throw new Error(`expected a format for image ${seed}, found none`);
  return encode(noted).toBuffer();
}

/** Writes the data set three times. The extension says nothing; the decoder reads the first bytes. */
async function writeData(): Promise<void> {
  let seed = 0;
  for (const [split, count] of Object.entries(COUNTS)) {
    for (const [label, name] of CLASSES.entries()) {
      for (let i = 0; i < count; i++) {
        const bytes = await photo(label, seed);
        const turned = await sharp(bytes).autoOrient().png().toBuffer();
        const ignore = seed >= FIRST_TIFF ? turned : await sharp(bytes).png().toBuffer();
        const copies = { photos: bytes, apply: turned, ignore };
        seed++;
        for (const [set, content] of Object.entries(copies)) {
          const folder = path.join(dir, set, split, name);
          await mkdir(folder, { recursive: true });
          await writeFile(path.join(folder, `${i}.png`), content);
        }
      }
    }
  }
}

const common = { artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const;

async function runOn(set: string, more: Partial<TrainOptions>): Promise<void> {
  const events: TrainEvent[] = [];
  const out = path.join(dir, `run-${set}-${more.exif ?? 'default'}`);
  const onEvent = (event: TrainEvent): unknown => events.push(event);
  const options = { ...common, epochs: 2, lr: 0.01, out, onEvent, ...more };
  const { runDir } = await train({ data: path.join(dir, set), ...options });
  runs.set(`${set} ${more.exif ?? 'default'}`, { runDir, events });
}

const runOf = (name: string): string => runs.get(name)?.runDir ?? '';
const eventsOf = (name: string): TrainEvent[] => runs.get(name)?.events ?? [];

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'exif-test-'));
  process.env.ORT_FINETUNE_CACHE = path.join(dir, 'cache');
  await writeData();
  for (const use of USES) {
    await runOn('photos', { exif: use });
    await runOn(use, {});
  }
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

async function metrics(run: string): Promise<unknown[]> {
  const text = await readFile(path.join(run, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => ({ ...(JSON.parse(line) as object), seconds: 0, dataWaitSeconds: 0 }));
}

async function predictions(options: PredictOptions): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { classes } of predict(options)) found.push(classes);
  return found;
}

/** Images in a report: those of training, and the mistakes. */
async function imagesOf(run: string): Promise<string[]> {
  const page = await readFile(path.join(run, 'report.html'), 'utf8');
  return page.match(/data:image\/jpeg;base64,[\w+/=]+/g) ?? [];
}

async function exported(run: string, rawImages: boolean): Promise<string> {
  const out = path.join(dir, `${path.basename(run)}-${rawImages}.onnx`);
  return (await exportInference({ run, out, rawImages, skipReplay: true })).file;
}

describe.each(USES)('%s', (use: Use) => {
  const names = (): [string, string] => [runOf(`photos ${use}`), runOf(`${use} default`)];
  const val = (set: string): string => path.join(dir, set, 'val');

  test.each<[string, (run: string, set: string) => Promise<unknown>]>([
    ['training and validation', (run) => metrics(run)],
    ['the images of the report', (run) => imagesOf(run)],
    [
      'evaluate',
      async (run, set) => {
        const found = await evaluate({ run, data: path.join(dir, set), workers: 1 });
        return { ...found, data: null };
      },
    ],
    ['predict', (run, set) => predictions({ run, images: val(set), workers: 1 })],
    [
      'predict with the model file',
      async (run, set) =>
        predictions({
          model: await exported(run, false),
          artifacts: TINY,
          images: val(set),
          workers: 1,
        }),
    ],
    [
      'predict with the model file that takes decoded images',
      async (run, set) =>
        predictions({ model: await exported(run, true), images: val(set), workers: 1 }),
    ],
    [
      'find-lr',
      async (run, set) => {
        const { exif } = JSON.parse(await readFile(path.join(run, 'config.json'), 'utf8')) as {
          exif: Use;
        };
        return findLr({ ...common, data: path.join(dir, set), exif, steps: 10 });
      },
    ],
  ])('%s', async (_, look) => {
    const [photos, copies] = names();
    const found = await look(photos, 'photos');
    expect(found).toEqual(await look(copies, use));
    expect(JSON.stringify(found).length).toBeGreaterThan(100);
  });

  test('is kept in the run, its checkpoints and its models', async () => {
    const [run] = names();
    const config = JSON.parse(await readFile(path.join(run, 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ exif: use });
    for (const name of ['best', 'last']) {
      const file = path.join(run, 'checkpoints', `${name}.safetensors`);
      expect((await readCheckpoint(file)).run.config).toMatchObject({ exif: use });
    }
    for (const rawImages of [false, true]) {
      const file = await exported(run, rawImages);
      expect(describeModel(file, await readFile(file)).exif).toBe(use);
    }
  });

  test('a resumed run goes on with it, and refuses another', async () => {
    const out = path.join(dir, `stopped-${use}`);
    const stop = new AbortController();
    const onEvent = ({ type }: TrainEvent): void => {
      if (type === 'phase') stop.abort();
    };
    const options = { ...common, data: path.join(dir, 'photos'), epochs: 2, lr: 0.01, exif: use };
    const stopped = train({ ...options, out, onEvent, signal: stop.signal });
    await expect(stopped).rejects.toThrow(InterruptedError);
    const other = use === 'apply' ? 'ignore' : 'apply';
    const refused = train({ resume: out, exif: other });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(`exif was "${use}", is "${other}"`);
    await train({ resume: out });
    expect(await metrics(out)).toEqual(await metrics(names()[0]));
  });
});

describe('the check of the images', () => {
  const messages = (name: string): string[] =>
    eventsOf(name).flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  const checked = (name: string): unknown => {
    const event = eventsOf(name).find(({ type }) => type === 'checked');
    return event?.type === 'checked' ? event.exif : null;
  };

  test('says once how many orientations are ignored', () => {
    expect(messages('photos ignore').filter((message) => message.includes('EXIF'))).toEqual([
      `${ORIENTED} of ${IMAGES} images have an EXIF orientation, which is ignored as torchvision does; ` +
        '--exif apply turns them',
    ]);
    expect(checked('photos ignore')).toEqual({ images: ORIENTED, use: 'ignore' });
  });

  test.each(['photos apply', 'ignore default', 'apply default'])('does not warn: %s', (name) => {
    expect(messages(name).join('\n')).not.toContain('EXIF');
    expect(checked(name)).toEqual({
      images: name.startsWith('photos') ? ORIENTED : 0,
      use: name === 'photos apply' ? 'apply' : 'ignore',
    });
  });

  test('is in the report, too', async () => {
    const header = async (name: string): Promise<string> =>
      /<header>.*<\/header>/.exec(
        await readFile(path.join(runOf(name), 'report.html'), 'utf8'),
      )?.[0] ?? '';
    expect(await header('photos ignore')).toContain(
      `EXIF orientation of ${ORIENTED} images ignored`,
    );
    expect(await header('photos apply')).toContain(
      `EXIF orientation of ${ORIENTED} images applied`,
    );
    expect(await header('ignore default')).not.toContain('EXIF');
  });

  test('is printed by the command, which takes the flag', async () => {
    const words = ['train', '--data', path.join(dir, 'photos'), '--artifacts', TINY];
    const small = ['--weights', 'random', '--device', 'cpu', '--epochs', '1', '--workers', '1'];
    const turned = await call([...words, ...small, '--exif', 'apply'], { cwd: dir });
    expect(turned).toMatchObject({ code: 0 });
    expect(turned.stdout).toContain(`Turned   ${ORIENTED} images by their EXIF orientation`);
    const wrong = await call([...words, '--exif', 'rotate'], { cwd: dir });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/--exif.*ignore.*apply.*rotate/s);
  });
});

test('the web page is told', async () => {
  const words = ['--run', runOf('photos apply'), '--out', 'web.onnx', '--web', 'web'];
  const { code, stderr } = await call(['export-inference', ...words, '--skip-replay'], {
    cwd: dir,
  });
  expect([code, stderr]).toEqual([0, '']);
  const page = await readFile(path.join(dir, 'web', 'index.html'), 'utf8');
  const [, settings = ''] =
    /<script type="application\/json" id="settings">([^<]*)<\/script>/.exec(page) ?? [];
  expect(JSON.parse(settings)).toMatchObject({ exif: 'apply' });
});
