/**
 * Words of a call become a command and its flags. Holds: a value that begins with a dash reaches the check of its flag.
 */

import { expect, test } from '@jest/globals';
import { COMMANDS } from '../../../src/cli/commands.js';
import { joinNegative } from '../../../src/cli/flags.js';
import { parseCall } from '../../../src/cli/parser.js';
import { flagName } from '../../../src/config/validator.js';

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

const NUMERIC = Object.entries(COMMANDS).flatMap(([command, { options }]) =>
  Object.entries(options).flatMap(([name, { kind }]) =>
    kind === 'integer' || kind === 'number' ? [[command, flagName(name)] as const] : [],
  ),
);

test('there are flags for numbers', () => {
  expect(NUMERIC.length).toBeGreaterThan(15);
});

test.each(NUMERIC)('%s --%s takes a negative number after a space', async (command, flag) => {
  const call = await parseCall([command, `--${flag}`, '-1e-3', '--verbose']);
  expect(call?.given).toMatchObject({ [flag]: -0.001, verbose: true });
  for (const text of ['-.5', '-1E-3', '-5', '-1e+20', '-inf', '-0x10']) {
    expect(joinNegative([command, `--${flag}`, text], COMMANDS)).toEqual([
      command,
      `--${flag}=${text}`,
    ]);
  }
});

test.each([
  ['-.5', -0.5],
  ['-1E-3', -0.001],
  ['-5', -5],
  ['-1e+20', -1e20],
  // Not a number: it stays text, for the check of the flag to refuse.
  ['-inf', '-inf'],
  ['-1_000', '-1_000'],
])('--lr %s is read as %j', async (text, value) => {
  expect((await parseCall(['train', '--lr', text]))?.given).toMatchObject({ lr: value });
});

test.each([
  [['train', '--lr', '-h']],
  [['train', '--lr', '--seed', '1']],
  [['train', '--out', '-5']],
  [['train', '--quiet', '-1e-3']],
  [['predict', '--top=-1e-3', '-x']],
  [['predict', '--', '--top', '-1e-3']],
])('other words are left alone: %j', (words) => {
  expect(joinNegative(words, COMMANDS)).toEqual(words);
});

test.each([
  [['train', '--data', 'a', '--data', 'b'], { data: 'b' }],
  [['train', '--lr', '1', '--lr=2'], { lr: 2 }],
  [['find-lr', '--seed', '2', '--seed', '3'], { seed: 3 }],
])('if a flag is given twice, the last one counts: %j', async (words, given) => {
  expect((await parseCall(words))?.given).toMatchObject(given);
});

test('what stands after two dashes is no flag', async () => {
  const call = await parseCall(['predict', '--json', '--', '--json', '--json']);
  expect(call?.given._).toEqual(['predict', '--json', '--json']);
});

test.each(['-x.png', '-abc.jpg', '--cat.png', '-1.png'])(
  'a path that begins with a dash gets a hint: %s',
  async (word) => {
    const said = `got ${word}; see "predict --help" for its flags; a path that begins with a dash goes after --`;
    await expect(parseCall(['predict', '--run', 'r', word])).rejects.toThrow(said);
  },
);

test.each(['1e-400', '-1E-999', '0.001e-330'])(
  'a number that would become 0 stays text: %s',
  async (text) => {
    expect((await parseCall(['train', '--lr', text]))?.given).toMatchObject({ lr: text });
  },
);

test.each(['0', '0.0', '0e-400', '-0'])('zero is a number: %s', async (text) => {
  expect(Math.abs((await parseCall(['train', '--lr', text]))?.given.lr as number)).toBe(0);
});
