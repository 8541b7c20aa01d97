import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { COMMANDS } from '../../../src/cli/commands.js';
import { OWN_OPTIONS } from '../../../src/cli/find-lr.js';
import { withFlagTables } from '../../../src/cli/reference.js';
import { SHARED_WITH_TRAIN } from '../../../src/config/find-lr-options.js';
import { defaultText, helpText, type OptionTable } from '../../../src/config/options.js';
import { flagName } from '../../../src/config/validator.js';
import { type End, call as callCli } from '../../support/run-process.js';
import { ROOT } from '../../support/paths.js';

const cwd = mkdtempSync(path.join(os.tmpdir(), 'cli-test-'));
afterAll(() => {
  rmSync(cwd, { recursive: true });
});

const call = (...words: string[]): Promise<End> => callCli(words, { cwd });
const cliDocument = (): string => readFileSync(path.join(ROOT, 'docs/cli.md'), 'utf8');

describe('help', () => {
  test.each(['--help', '-h', 'help'])('%s lists the commands', async (word) => {
    const { code, stdout, stderr } = await call(word);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const command of ['train', 'export-inference', 'demo']) expect(stdout).toContain(command);
  });

  test('of a command, asked for in three ways', async () => {
    const help = await call('train', '--help');
    expect(await call('train', '-h')).toEqual(help);
    expect(await call('help', 'train')).toEqual(help);
  });

  test.each(Object.entries(COMMANDS))(
    'of %s documents each flag with its default',
    async (command, { options }) => {
      const { code, stdout } = await call(command, '--help');
      expect(code).toBe(0);
      const words = stdout.replaceAll(/\s+/g, ' ');
      for (const [name, option] of Object.entries(options)) {
        expect(words).toContain(`--${flagName(name)} ${helpText(option)}`);
        const shownDefault = defaultText(option);
        if (shownDefault !== undefined) expect(words).toContain(`[default: ${shownDefault}]`);
      }
    },
  );

  test.each(Object.entries(COMMANDS))(
    "docs/cli.md's table of %s has every flag with its default, and no other",
    (command, { options }) => {
      const heading = command.replace('setup-', 'setup:');
      const section = cliDocument().split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
      const rows = [...section.matchAll(/^\| `--([\w-]+)[^|]*\| ([^|]*) \|/gm)];
      const documented = rows.map(([, name, shownDefault]) => `${name} ${shownDefault}`);
      const own: OptionTable = command === 'find-lr' ? OWN_OPTIONS : options;
      const expected = Object.entries(own).map(
        ([name, option]) =>
          `${flagName(name)} ${defaultText(option) ?? (option.kind === 'boolean' ? 'off' : '(required)')}`,
      );
      expect(documented.sort()).toEqual(expected.sort());
    },
  );

  test('docs/cli.md is up to date; "npm run docs:cli" writes it', () => {
    expect(cliDocument()).toBe(withFlagTables(cliDocument()));
  });

  test('docs/cli.md names the flags that find-lr shares with training, and no others', () => {
    const text = /takes these flags of `train`: ([^]*?)\.\n/.exec(cliDocument())?.[1] ?? '';
    const named = [...text.matchAll(/`--([\w-]+)`/g)].map(([, name]) => name);
    expect(named.sort()).toEqual(Object.keys(SHARED_WITH_TRAIN).map(flagName).sort());
  });

  test('--version prints the version of package.json', async () => {
    const text = readFileSync(path.join(ROOT, 'package.json'), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    expect(await call('--version')).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('a wrong call ends with exit code 2 and one line', () => {
  const data = os.tmpdir();
  const cases: [words: string[], message: string | RegExp][] = [
    [
      [],
      'expected a command: train, find-lr, export-inference, evaluate, predict, doctor, setup-cuda, setup-weights, demo; got none',
    ],
    [['trian'], 'did you mean train?'],
    [['__proto__'], 'expected a command'],
    [['train'], 'expected --data to be a folder'],
    [['train', '--data'], /expected --data .* got nothing/],
    [['train', '--data', 'nowhere'], /got "nowhere"; it does not exist/],
    [
      ['train', '--data', data, '--btach-size', '4'],
      'got --btach-size; did you mean --batch-size?',
    ],
    [['train', '--data', data, '--batchSize', '4'], 'did you mean --batch-size?'],
    [['train', '--data', data, '-x'], 'got -x; see "train --help"'],
    [['train', '--data', data, '--no-lr'], 'got --no-lr'],
    [['train', data], `expected only flags after "train", got "${data}"; with npm, flags go after`],
    [['train', '--data', data, '--lr', 'fast'], /expected --lr to be a number .* got "fast"/],
    [['train', '--data', data, '--lr', '-1'], /expected --lr to be a number .* got -1;/],
    [
      ['train', '--data', data, '--epochs', '1.5'],
      /expected --epochs to be a whole number .* got 1.5/,
    ],
    [['train', '--data', data, '--epochs', '0'], /expected --epochs .* got 0;/],
    [['train', '--data', data, '--device', 'tpu'], /one of auto, cpu, cuda, webgpu, got "tpu"/],
    [['train', '--data', data, '--weights', 'imagnet'], 'there is no file of that name'],
    [['train', '--data', data, '--out', data], /expected --out to be a new or empty folder/],
    [['export-inference'], 'expected --run to be the folder of an earlier training, got nothing'],
    [
      ['export-inference', '--run', data, '--checkpoint', 'worst'],
      'one of best, last, got "worst"',
    ],
    [['demo', '--epochs', '3'], 'expected a flag of "demo", got --epochs'],
  ];
  test.each(cases)('%j', async (words, message) => {
    const { code, stdout, stderr } = await call(...words);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  test('and leaves nothing behind', () => {
    expect(readdirSync(cwd)).toEqual([]);
  });
});

describe('a failure at run time ends with exit code 1', () => {
  // A run whose checkpoints are gone.
  const run = path.join(cwd, 'run');
  const words = ['export-inference', '--run', run];
  beforeAll(() => {
    mkdirSync(run);
    writeFileSync(path.join(run, 'config.json'), '{"arch":"resnet18","classes":["a","b"]}');
  });

  test('one line, no stack', async () => {
    const { code, stderr } = await call(...words);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(path.join(run, 'checkpoints', 'best.safetensors'));
  });

  test('--verbose shows the stack', async () => {
    const { code, stderr } = await call(...words, '--verbose');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: [^\n]+\n/);
    expect(stderr).toMatch(/\n {4}at .+[\\/]dist[\\/]src[\\/]/);
  });
});
