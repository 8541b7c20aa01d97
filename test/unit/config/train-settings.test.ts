import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  defaultsOf,
  helpText,
  markdownTable,
  number,
  resolveOptions,
  type Values,
} from '../../../src/config/options.js';
import { optionsFrom, parseValue } from '../../../src/cli/flags.js';
import { SETTINGS, settingsWith, tableWith } from '../../../src/config/train-settings.js';
import { Validator } from '../../../src/config/validator.js';
import { FIXTURES } from '../../support/paths.js';

describe('a new setting is one entry', () => {
  const table = {
    ...SETTINGS,
    dropPath: number(0.25, [0, 0.5], {
      help: 'share of the residual branches left out',
      resume: 'free',
      perRank: true,
      findLr: true,
      local: true,
    }),
  };
  const validator = new Validator('flag');

  test('its type and default', () => {
    const { dropPath }: Values<typeof table> = defaultsOf(table);
    expect(dropPath).toBe(0.25);
  });

  test('its flag, help and row in docs/cli.md', () => {
    expect(parseValue(table.dropPath, '1e-1')).toBe(0.1);
    expect(optionsFrom(table, { 'drop-path': 0.1 })).toEqual({ dropPath: 0.1 });
    expect(helpText(table.dropPath)).toBe('Share of the residual branches left out (0 to 0.5)');
    expect(markdownTable(table)).toContain(
      '| `--drop-path X` | 0.25 | share of the residual branches left out |',
    );
  });

  test('its check', () => {
    expect(resolveOptions(table, { dropPath: 0.5 }, validator)).toMatchObject({ dropPath: 0.5 });
    expect(() => resolveOptions(table, { dropPath: 0.6 }, validator)).toThrow(
      'expected --drop-path to be a number from 0 to 0.5, got 0.6; the default is 0.25',
    );
  });

  test.each(['resume', 'perRank', 'findLr', 'local'] as const)('its place in %s', (attribute) => {
    const names = Object.keys(tableWith(table, attribute));
    expect(names).toEqual([...settingsWith(attribute), 'dropPath']);
  });
});

test('the lists of settings are those of version 0.1.0', () => {
  expect(settingsWith('resume').sort()).toEqual(
    [
      ...['epochs', 'earlyStop', 'workers', 'cache', 'cacheMegabytes', 'device', 'saveEvery'],
      ...['keep', 'onBadImage'],
    ].sort(),
  );
  expect(settingsWith('perRank').sort()).toEqual(
    ['weights', 'device', 'workers', 'threads', 'cache', 'cacheMegabytes'].sort(),
  );
  expect(settingsWith('local').sort()).toEqual(['threads', 'weights', 'workers']);
});

test('config.json has the settings in the order of version 0.1.0, and later ones after them', () => {
  const file = path.join(FIXTURES, 'run-0.1.0/run/config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  const names = Object.keys(SETTINGS);
  const first = names.slice(0, names.indexOf('onBadImage') + 1);
  expect(names.slice(first.length)).toEqual(['exif']);
  expect(Object.keys(config).slice(0, first.length)).toEqual(first);
  expect(Object.keys(resolveOptions(SETTINGS, {}, new Validator('option')))).toEqual(names);
});
