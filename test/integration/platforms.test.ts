/** Checks that only platform-specific modules name Linux's paths and libraries. These tests run on Linux alone. */

import path from 'node:path';
import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { ROOT } from '../support/paths.js';

/**
 * Modules that may: CUDA (whose binding is for Linux), Vulkan's loader (a name per platform), MPI, and what tells the
 * start of a process and an ignored SIGHUP (each has a way for other platforms).
 */
const LINUX = [
  'cli/hangup.ts',
  'common/node/process-identity.ts',
  'devices/cuda.ts',
  'devices/setup-cuda.ts',
  'devices/vulkan.ts',
  'distributed/launcher.ts',
];

const NAMES = /['"`/](?:proc|dev|tmp|usr|etc|var|home|opt)\/|\.(?:so|dylib|dll)\b/;

function codeOf(file: string): string {
  const text = readFileSync(path.join(ROOT, 'src', file), 'utf8');
  return text.replaceAll(/^#!.*|\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');
}

test('paths and libraries of one platform are named in its modules alone', () => {
  const files = readdirSync(path.join(ROOT, 'src'), { encoding: 'utf8', recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replaceAll(path.sep, '/'))
    .sort();
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((file) => NAMES.test(codeOf(file)))).toEqual([...LINUX].sort());
});
