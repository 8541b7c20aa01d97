/** Names once each kind of thing that is left out of the data, or is used in an unexpected way. */

import path from 'node:path';
import type { DataRemark, RemarkReason } from '../common/events.js';
import { listSome } from '../common/format.js';
import { shellWord, visible } from '../common/text.js';

/** A file or folder that a remark is about. */
export interface LeftOut {
  /** Its path; that of a folder ends with a separator. */
  readonly path: string;
  readonly reason: RemarkReason;
}

/** Examples in a remark. */
const EXAMPLES = 5;

/** Returns a sentence from the number of things, whether it is one, and the path of the first as a word of the shell. */
type Text = (count: string, one: boolean, first: string) => string;
const leftOut = (one: boolean): string => (one ? 'is left out' : 'are left out');

/** Returns how often something is there: `1 file`, `3 files`. */
const some =
  (noun: string, plural: string, rest: (one: boolean) => string): Text =>
  (count, one) =>
    `${count} ${one ? noun : plural} ${rest(one)}`;

/** The sentence of each reason, in the order of the remarks. */
const TEXTS: Readonly<Record<RemarkReason, Text>> = {
  hidden: some('hidden file or folder', 'hidden files and folders', leftOut),
  leftover: some('leftover of a system or program', 'leftovers of systems and programs', leftOut),
  format: some(
    'image or film in a format that is not read',
    'images and films in formats that are not read',
    (one) => `${leftOut(one)} (convert to use)`,
  ),
  'not-image': some('file that is not an image', 'files that are not images', leftOut),
  'no-class': some(
    'image that lies in no class folder',
    'images that lie in no class folder',
    leftOut,
  ),
  folder: some('folder beside the data', 'folders beside the data', leftOut),
  test: (count, one, first) => {
    const noun = one ? 'test folder' : 'test folders';
    return `${count} ${noun} ${leftOut(one)} (evaluate --data ${first} measures on ${one ? 'it' : 'the first'})`;
  },
  copy: some('folder', 'folders', (one) => {
    return `with folders of the classes' names in ${one ? 'it' : 'them'} ${leftOut(one)} as ${one ? 'a copy' : 'copies'} of the data`;
  }),
  run: some('folder of runs', 'folders of runs', leftOut),
  content: some('file', 'files', (one) => {
    return `without a known extension ${one ? 'is an image by its' : 'are images by their'} first bytes and used`;
  }),
  broken: some('broken image', 'broken images', leftOut),
  'same-class': some('class folder', 'class folders', (one) => {
    return `whose name differs from another in its Unicode form only ${one ? 'is' : 'are'} the same class`;
  }),
  'same-folders': (count) => {
    return `${count} class folders hold folders of the same names (if these are the classes, give one of the former to --data)`;
  },
  'empty-class': (_, one) => `there is no image of ${one ? 'class' : 'classes'}`,
};

/**
 * Groups what was found by reason: one remark each, with the number and up to five examples.
 *
 * @param base folder that the examples' paths are relative to. Things that are named twice count once.
 */
export function groupRemarks(base: string, found: readonly LeftOut[]): DataRemark[] {
  const remarks: DataRemark[] = [];
  for (const reason of Object.keys(TEXTS) as RemarkReason[]) {
    const paths = new Set(found.filter((one) => one.reason === reason).map((one) => one.path));
    if (paths.size === 0) continue;
    const names = [...paths].map((name) => relativeName(base, name));
    const [first = ''] = paths;
    const word = shellWord(path.join(first, '.'));
    const text = TEXTS[reason](String(paths.size), paths.size === 1, word);
    const message = `${base}: ${text}: ${listSome(names.map(quoted), EXAMPLES)}`;
    remarks.push({ message, reason, count: paths.size, examples: names.slice(0, EXAMPLES) });
  }
  return remarks;
}

/**
 * Returns what was found, where broken files are not images if they were taken for images by their first bytes only.
 *
 * @param broken paths of files that cannot be decoded.
 */
export function withBroken(found: readonly LeftOut[], broken: ReadonlySet<string>): LeftOut[] {
  return found.map((one) => {
    const isBroken = one.reason === 'content' && broken.has(one.path);
    return isBroken ? { ...one, reason: 'not-image' } : one;
  });
}

/** Returns a path below `base` with slashes; a folder's keeps its last one. */
function relativeName(base: string, name: string): string {
  const relative = path.relative(base, name).split(path.sep).join('/');
  return name.endsWith(path.sep) ? `${relative}/` : relative;
}

/** Returns a name in quotes. Control characters, such as the line break in macOS's `Icon`, are written as escapes. */
function quoted(name: string): string {
  return `"${visible(name)}"`;
}
