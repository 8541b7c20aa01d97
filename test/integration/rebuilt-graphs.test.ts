/** Resumes a committed run, begun on graphs before they were rebuilt, on graphs that were. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EarlierGraphs } from '../../src/artifacts/manifest.js';
import type { PhaseRecord } from '../../src/common/events.js';
import { packageInfo } from '../../src/common/node/package-info.js';
import { ConfigError } from '../../src/common/errors.js';
import { train } from '../../src/index.js';
import { readCheckpoint, saveCheckpoint } from '../../src/platform/node/defaults.js';
import { FIXTURES, SAMPLES } from '../support/paths.js';
import { rebuildTiny } from '../support/rebuilt-artifacts.js';
import { call } from '../support/run-process.js';

const FIXTURE = path.join(FIXTURES, 'runs', 'tiny-0.2.0');
let dir: string;
let begunOn: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'rebuilt-'));
  begunOn = (await readCheckpoint(lastOf(path.join(FIXTURE, 'run')))).run.fingerprints.artifacts;
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

function lastOf(run: string): string {
  return path.join(run, 'checkpoints', 'last.safetensors');
}

async function copyRun(name: string): Promise<string> {
  const run = path.join(dir, name);
  await cp(path.join(FIXTURE, 'run'), run, { recursive: true });
  return run;
}

/** Makes artifacts whose nodes have other names, which changes nothing that they compute. */
function renamed(name: string, earlier: readonly EarlierGraphs[]): string {
  return rebuildTiny(path.join(dir, name), {
    edit: ({ node }) => {
      for (const one of node) one.name = `rebuilt.${one.name}`;
      return true;
    },
    manifest: { earlier },
  });
}

async function losses(file: string): Promise<number[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => (JSON.parse(line) as PhaseRecord).loss);
}

test('rebuilt graphs of the same function end the run, with a remark', async () => {
  const run = await copyRun('same');
  const earlier = [{ fingerprint: begunOn, version: '0.2.0', sameFunction: true }];
  const artifacts = renamed('same-graphs', earlier);
  const words = ['train', '--resume', run, '--data', SAMPLES, '--artifacts', artifacts, '--json'];
  const { code, stdout, stderr } = await call(words, { cwd: dir });
  expect([code, stderr]).toEqual([0, '']);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; message?: string });
  const remarks = events.filter(({ type }) => type === 'warning').map(({ message }) => message);
  expect(remarks).toEqual([
    expect.stringMatching(
      /^the graphs of tiny were rebuilt .* version 0\.2\.0; they compute the same function, so the run goes on, .*last digits/,
    ),
  ]);
  const found = await losses(path.join(run, 'metrics.jsonl'));
  const whole = await losses(path.join(FIXTURE, 'whole-metrics.jsonl'));
  expect(found).toHaveLength(whole.length);
  for (const [index, loss] of whole.entries()) {
    expect(Math.abs((found[index] ?? NaN) - loss)).toBeLessThan(1e-4);
  }
  // The run folder still tells which graphs it was begun on, and goes on from here without a remark.
  const { fingerprints } = (await readCheckpoint(lastOf(run))).run;
  expect(fingerprints.begunOn).toEqual({ artifacts: begunOn });
  expect(fingerprints.artifacts).not.toBe(begunOn);
  const again = await call([...words, '--epochs', '3'], { cwd: dir });
  expect([again.code, again.stdout.includes('"warning"')]).toEqual([0, false]);
  expect((await readCheckpoint(lastOf(run))).run.fingerprints).toEqual(fingerprints);
});

describe('refused', () => {
  async function refusal(name: string, earlier: EarlierGraphs[], version?: string) {
    const run = await copyRun(name);
    if (version !== undefined) {
      const { tensors, run: before } = await readCheckpoint(lastOf(run));
      const fingerprints = { ...before.fingerprints, version };
      await saveCheckpoint(lastOf(run), {
        state: new Map(tensors),
        run: { ...before, fingerprints },
      });
    }
    const artifacts = renamed(`${name}-graphs`, earlier);
    const error: unknown = await train({ resume: run, data: SAMPLES, artifacts }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  const advice = (version: string): string =>
    `version ${version}, on which the run was begun, can go on with it (npm install ort-finetune@${version})`;

  test('graphs of another function, with the version that has the old ones', async () => {
    const other = { fingerprint: begunOn, version: '0.2.0', sameFunction: false };
    expect(await refusal('other', [other])).toContain(advice('0.2.0'));
  });

  test('unknown graphs, with the version that the run recorded', async () => {
    const unrelated = { fingerprint: 'f'.repeat(64), version: '0.3.0', sameFunction: true };
    expect(await refusal('recorded', [unrelated], '0.1.9')).toContain(advice('0.1.9'));
  });

  test('unknown graphs of this version, or of none', async () => {
    for (const [name, version] of [['none'], ['own', packageInfo().version]] as const) {
      const message = await refusal(name, [], version);
      expect(message).toMatch(/graphs or preprocessing are not the same; undo these changes, or/);
    }
  });
});
