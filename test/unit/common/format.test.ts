import { expect, test } from '@jest/globals';
import {
  formatBar,
  formatDuration,
  formatRate,
  formatRoughRate,
  listSome,
  messageOf,
} from '../../../src/common/format.js';

test('durations', () => {
  expect([0, 59.4, 65, 3599, 7625].map(formatDuration)).toEqual([
    '0s',
    '59s',
    '1m 05s',
    '59m 59s',
    '2h 07m',
  ]);
});

test('learning rates lose the noise of binary fractions', () => {
  expect([0.001, 0.001 * 0.1, 0.001 * 0.1 * 0.1 * 0.1, 0].map(formatRate)).toEqual([
    '0.001',
    '0.0001',
    '0.000001',
    '0',
  ]);
});

test('bars are as wide as asked, whatever the share', () => {
  for (const share of [-1, 0, 0.34, 1, 7]) expect(formatBar(share, 10)).toHaveLength(10);
  expect(formatBar(0.5, 4)).toBe('██░░');
});

test('an estimated learning rate has two digits', () => {
  expect([0.00123, 0.1 + 0.2, 0.0178].map(formatRoughRate)).toEqual(['0.0012', '0.3', '0.018']);
});

test('a long list ends with how many items are not shown', () => {
  expect(listSome(['a', 'b'], 2)).toBe('a, b');
  expect(listSome(['a', 'b', 'c', 'd'], 2)).toBe('a, b and 2 more');
  expect(listSome(['a', 'b', 'c', 'd', 'e', 'f'])).toBe('a, b, c, d, e and 1 more');
});

test('the message of an error, and of anything else that was thrown', () => {
  expect(messageOf(new TypeError('wrong type'))).toBe('wrong type');
  expect(messageOf('a word')).toBe('a word');
});
