/** The documents name files that exist, and docs/architecture.md names every room. */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ROOT } from '../../support/paths.js';

const DOCUMENTS = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'samples/README.md'],
  ...['docs', 'docs/results'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];
/** Programs write these; they are not in a clone. */
const GENERATED = ['docs/api/'];

const read = (name: string): string => readFileSync(path.join(ROOT, name), 'utf8');

/** Paths in backquotes, from the root; capitals stand for a name of the reader's. */
function namedPaths(text: string): string[] {
  const found = text.matchAll(/`((?:src|scripts|test|docs|artifacts|samples|\.ci)\/[\w./-]*)`/g);
  return [...found]
    .map(([, name = '']) => name)
    .filter((name) => !/\/[A-Z]+\b/.test(name) && !GENERATED.includes(name));
}

/** Targets of links and images that lie in the repository. */
function linkedPaths(text: string): string[] {
  const found = text.matchAll(/(?:\]\(|src=")([^)"#]+)/g);
  return [...found].map(([, target = '']) => target).filter((target) => !target.includes(':'));
}

describe.each(DOCUMENTS)('%s', (name) => {
  test('names paths that exist', () => {
    const missing = namedPaths(read(name)).filter((one) => !existsSync(path.join(ROOT, one)));
    expect(missing).toEqual([]);
  });

  test('links to files that exist', () => {
    const folder = path.dirname(path.join(ROOT, name));
    const missing = linkedPaths(read(name)).filter((one) => !existsSync(path.join(folder, one)));
    expect(missing).toEqual([]);
  });
});

test('docs/architecture.md and CONTRIBUTING.md are found to name paths', () => {
  expect(namedPaths(read('docs/architecture.md')).length).toBeGreaterThan(30);
  expect(namedPaths(read('CONTRIBUTING.md')).length).toBeGreaterThan(10);
  expect(linkedPaths(read('README.md'))).toContain('docs/images/report.png');
});

test("docs/architecture.md's table of rooms has every folder of src/, and no other", () => {
  const section = read('docs/architecture.md').split('\n## Rooms of src/\n')[1] ?? '';
  const named = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| `([\w-]+)\/` \|/gm)];
  const rooms = readdirSync(path.join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  expect(named.map(([, room]) => room).sort()).toEqual(rooms.sort());
});

test('README stays a page', () => {
  expect(read('README.md').split('\n').length).toBeLessThanOrEqual(121);
});
