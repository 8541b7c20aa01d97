/** Tests that a job of several ranks whose weight file is refused ends with one message, a code, and nothing written. */

import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { installedLaunchers, runJob } from '../support/mpi-job.js';
import { FIXTURES, testProgram } from '../support/paths.js';
import { makeData, trainWords } from '../support/run-process.js';

const WEIGHTS = path.join(FIXTURES, 'weights', 'tiny.pth');
const PROGRAM = testProgram('support/mpi-cli');
let cwd: string;
let data: string;

beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'ranks-weights-'));
  data = await makeData(path.join(cwd, 'data'), 4, 2);
  const whole = await readFile(WEIGHTS);
  await writeFile(path.join(cwd, 'cut.pth'), whole.subarray(0, whole.length / 2));
  await writeFile(path.join(cwd, 'text.pth'), 'no weights at all');
  await writeFile(path.join(cwd, 'cut.safetensors'), Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 0x7b));
  await copyFile(path.join(FIXTURES, 'weights', 'list.pth'), path.join(cwd, 'list.pth'));
});
afterAll(async () => {
  await rm(cwd, { recursive: true });
});

const launchers = installedLaunchers();
if (launchers.length === 0) {
  test.skip('ranks: mpirun is not installed (Debian: openmpi-bin, mpich)', () => undefined);
}

describe.each(launchers.map((launcher) => [launcher.name, launcher] as const))(
  'two ranks under %s',
  (_, launcher) => {
    test.each([
      ['missing.pth', 2, 'there is no file of that name'],
      ['text.pth', 1, "neither of PyTorch's formats"],
      ['cut.pth', 1, 'a damaged zip archive'],
      ['cut.safetensors', 1, 'cut.safetensors'],
      ['list.pth', 1, 'list.pth'],
    ])('--weights %s ends the job with code %i and one message', async (file, code, found) => {
      const out = path.join(cwd, 'out');
      const words = trainWords(data, out, '--epochs', '1', '--weights', file);
      const env = { ORT_FINETUNE_CACHE: path.join(cwd, 'cache') };
      const ended = await runJob(launcher, 2, [PROGRAM, ...words], { cwd, env });
      const errors = ended.stderr.split('\n').filter((line) => line.startsWith('error: '));
      expect(errors).toEqual([expect.stringMatching(/^error: rank 0 on .*expected /)]);
      expect(errors[0]).toContain(found);
      expect(ended.code).toBe(code);
      expect(ended.seconds).toBeLessThan(60);
      expect(existsSync(out)).toBe(false);
    });
  },
);
