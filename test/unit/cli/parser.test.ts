/** Words of a call become a command and its flags. */

import { expect, test } from '@jest/globals';
import { parseCall } from '../../../src/cli/parser.js';

test.each([
  [['train', '--quiet=false', '--json'], 'json'],
  [['evaluate', '--json=false', '--csv'], 'csv'],
  [['export-inference', '--fp16=false', '--int8'], 'int8'],
])('a flag that is switched off conflicts with nothing: %p', async (words, on) => {
  const call = await parseCall(words);
  expect(call?.given[on]).toBe(true);
});

test.each([
  [['train', '--quiet', '--json'], 'expected --quiet or --json, got both; choose one'],
  [['predict', '--json', '--csv'], 'expected --json or --csv, got both; choose one'],
  [['export-inference', '--fp16', '--int8'], 'expected --fp16 or --int8, got both; choose one'],
])('two flags that exclude each other: %p', async (words, message) => {
  await expect(parseCall(words)).rejects.toThrow(message);
});
