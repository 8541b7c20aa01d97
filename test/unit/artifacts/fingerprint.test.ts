/** Tests the fingerprint of artifacts: runs of version 0.2.0 go on, and other graphs are noticed. */

import { expect, test } from '@jest/globals';
import { artifactsFingerprint } from '../../../src/artifacts/fingerprint.js';
import type { Manifest } from '../../../src/artifacts/manifest.js';
import { sha256 } from '../../../src/platform/node/hash.js';

/** The first manifest format's preprocessing, and two graphs. */
const FIRST = {
  preprocessing: { mean: [0.5], std: [0.25], inputSize: 32, resizeSize: 37 },
  graphs: { train: { sha256: 'aa' }, update: { sha256: 'bb' } },
  masks: null,
} as unknown as Manifest;

function fingerprint(changes: object): string {
  return artifactsFingerprint({ ...FIRST, ...changes }, sha256());
}

test('it is that of version 0.2.0, which hashed this text', () => {
  const hash = sha256();
  const text = '{"mean":[0.5],"std":[0.25],"inputSize":32,"resizeSize":37}aabb';
  hash.update(new TextEncoder().encode(text));
  const expected = hash.digest();
  expect(fingerprint({})).toBe(expected);
  const preprocessing = { ...FIRST.preprocessing, cropFraction: 0.875 };
  expect(fingerprint({ preprocessing })).toBe(expected);
});

test.each([
  ['a graph', { graphs: { train: { sha256: 'aa' }, update: { sha256: 'bc' } } }],
  ['the preprocessing', { preprocessing: { ...FIRST.preprocessing, resizeSize: 36 } }],
  ['the masks', { masks: { width: 1, entries: [] } }],
])('%s changes it', (_, changes) => {
  expect(fingerprint(changes)).not.toBe(fingerprint({}));
});
