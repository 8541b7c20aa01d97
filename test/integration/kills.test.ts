/** Runs a short part of the kill matrix; `npm run test:endurance` runs the long one. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readCheckpoint } from '../../src/platform/node/defaults.js';
import type { Fault } from '../support/faults.js';
import { FAULTS, KillMatrix } from '../long/kill-matrix.js';
import { Process, call, makeData, outcome, trainWords, type End } from '../support/run-process.js';

describe('killed and resumed, a run ends with the bits of one that was not killed', () => {
  let matrix: KillMatrix;
  beforeAll(async () => {
    matrix = await KillMatrix.create();
  });
  afterAll(async () => {
    await matrix.remove();
  });

  test.each([1, 2, 3])('seed %d', async (seed) => {
    await matrix.survive(seed);
    const { random, chosen } = matrix.tally;
    expect(random + chosen).toBeGreaterThan(0);
  });
});

describe('a disk that fails', () => {
  let cwd: string;
  let reference: Awaited<ReturnType<typeof outcome>>;
  const settings = ['--epochs', '2', '--save-every', '1', '--keep', '100'];
  beforeAll(async () => {
    cwd = await mkdtemp(path.join(tmpdir(), 'disk-test-'));
    await makeData(path.join(cwd, 'data'), 8, 4);
    expect((await call(trainWords('data', 'reference', ...settings), { cwd })).code).toBe(0);
    reference = await outcome(path.join(cwd, 'reference'));
  });
  afterAll(async () => {
    await rm(cwd, { recursive: true });
  });

  const broken = (out: string, fault: Fault): Process =>
    new Process(trainWords('data', out, ...settings), {
      ...{ cwd, preload: FAULTS, env: { FAULT: JSON.stringify(fault) } },
    });

  /** Checks that no file is half written and that earlier checkpoints are whole. Returns the checkpoints' names. */
  async function intact(runDir: string): Promise<string[]> {
    const names = await readdir(path.join(runDir, 'checkpoints'));
    for (const name of names) await readCheckpoint(path.join(runDir, 'checkpoints', name));
    return names;
  }

  test.each(['sync', 'write', 'rename', 'folder'] as const)(
    'a failing %s ends the run, leaves no temporary file and keeps the checkpoints',
    async (at) => {
      const file = at === 'folder' ? 'checkpoints' : 'last.safetensors';
      const end = await broken(at, { at, file, nth: at === 'write' ? 500 : 4, action: 'fail' })
        .ended;
      expect(end).toMatchObject({ code: 1, signal: null });
      expect(end.stderr).toMatch(/^error: expected to write .*last\.safetensors, failed with EIO/);
      expect(await intact(path.join(cwd, at))).toContain('last.safetensors');
      expect((await call(['train', '--resume', at], { cwd })).code).toBe(0);
      expect(await outcome(path.join(cwd, at))).toEqual(reference);
    },
  );

  test('a second signal while a checkpoint is written ends the process at once', async () => {
    const fault = { at: 'sync', file: 'last.safetensors', nth: 3, action: 'sleep' } as const;
    const running = broken('twice', fault);
    await running.printed(/^asleep$/m);
    running.child.kill('SIGTERM');
    await running.printed(/^SIGTERM: stopping/m);
    const began = performance.now();
    running.child.kill('SIGTERM');
    const end: End = await running.ended;
    expect(end).toMatchObject({ code: null, signal: 'SIGTERM' });
    expect(performance.now() - began).toBeLessThan(2000);
    expect((await call(['train', '--resume', 'twice'], { cwd })).code).toBe(0);
    expect(await outcome(path.join(cwd, 'twice'))).toEqual(reference);
    expect(await intact(path.join(cwd, 'twice'))).toContain('last.safetensors');
  });

  const small = mountSmall();
  const onSmall = small === null ? test.skip : test;
  afterAll(() => {
    if (small !== null) execFileSync('umount', [small]);
  });

  onSmall('a full one ends the run, and with room again it goes on', async () => {
    if (small === null) return;
    const run = path.join(small, 'run');
    const end = await call(trainWords('data', run, ...settings), { cwd });
    expect(end).toMatchObject({ code: 1, signal: null });
    expect(end.stderr).toMatch(/^error: expected to write .*, failed with ENOSPC/);
    const { bavail } = await statfs(small);
    const names = await intact(run);
    expect(names.length).toBeGreaterThanOrEqual(2);
    // The space of the file that did not fit is free again.
    expect(bavail).toBeGreaterThan(0);
    const [oldest = ''] = names.filter((name) => name.startsWith('step-')).sort();
    await rm(path.join(run, 'checkpoints', oldest));
    const more = await call(['train', '--resume', run, '--keep', '1'], { cwd });
    expect(more).toMatchObject({ code: 0, stderr: '' });
    expect(await outcome(run)).toEqual(reference);
  });
});

/** Mounts a file system of four checkpoints' size. Prints a warning and returns null if the user is not root. */
function mountSmall(): string | null {
  const dir = path.join(tmpdir(), `small-disk-${process.pid}`);
  try {
    execFileSync('mkdir', ['-p', dir]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=900k', 'tmpfs', dir], { stdio: 'pipe' });
    return dir;
  } catch (error) {
    console.warn(
      `NOT TESTED: a full disk, as no file system can be mounted here: ${String(error)}`,
    );
    return null;
  }
}
