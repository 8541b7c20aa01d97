/** macOS and Windows could not be run; at least nothing but what asks for the platform knows Linux's names. */

import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';

/** Modules whose libraries are Linux's: CUDA (its binding is), Vulkan's loader (by platform), MPI. */
const LINUX = ['cuda-provider.ts', 'cuda-setup.ts', 'vulkan.ts', 'launcher.ts'];

const NAMES = /['"`/](?:proc|dev|tmp|usr|etc|var|home|opt)\/|\.(?:so|dylib|dll)\b/;

function codeOf(file: string): string {
  const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
  return text.replaceAll(/^#!.*|\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');
}

test('paths and libraries of one platform are in the modules that are about them', () => {
  const files = readdirSync(new URL('../../src/', import.meta.url)).filter((name) =>
    name.endsWith('.ts'),
  );
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((file) => NAMES.test(codeOf(file)))).toEqual([...LINUX].sort());
});
