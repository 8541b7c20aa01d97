/** macOS and Windows could not be run; at least nothing but what asks for the platform knows Linux's names. */

import path from 'node:path';
import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { ROOT } from '../support/paths.js';

/** Modules whose libraries are Linux's: CUDA (its binding is), Vulkan's loader (by platform), MPI. */
const LINUX = [
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

test('paths and libraries of one platform are in the modules that are about them', () => {
  const files = readdirSync(path.join(ROOT, 'src'), { encoding: 'utf8', recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replaceAll(path.sep, '/'))
    .sort();
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((file) => NAMES.test(codeOf(file)))).toEqual([...LINUX].sort());
});
