/** Images that are in the data more than once where it does harm. */

import { listSome } from '../common/format.js';
import type { DataFile } from './dataset.js';
import { composed } from '../common/text.js';

/**
 * Returns warnings about files of the same bytes in both splits, or in two classes of one split.
 *
 * @param shown paths by the files' names: the folder of a split may be called otherwise than `train` or `val`.
 */
export function duplicateWarnings(
  files: readonly DataFile[],
  shown: ReadonlyMap<string, string>,
): string[] {
  const first = new Map<string, string>();
  const pairs = { leak: [] as string[], label: [] as string[] };
  for (const { name, sha256 } of files) {
    const other = first.get(sha256);
    if (other === undefined) {
      first.set(sha256, name);
      continue;
    }
    const [[split, label = ''], [otherSplit, otherLabel = '']] = [
      name.split('/'),
      other.split('/'),
    ];
    const pair = `${shown.get(other) ?? other} = ${shown.get(name) ?? name}`;
    if (split !== otherSplit) pairs.leak.push(pair);
    else if (composed(label) !== composed(otherLabel)) pairs.label.push(pair);
  }
  const warning = (found: readonly string[], one: string, many: string): string[] => {
    if (found.length === 0) return [];
    return [`${found.length} ${found.length === 1 ? one : many}: ${listSome(found)}`];
  };
  return [
    ...warning(
      pairs.leak,
      'validation image is a training image, too (accuracy will look too good)',
      'validation images are training images, too (accuracy will look too good)',
    ),
    ...warning(pairs.label, 'image is in two classes', 'images are in two classes'),
  ];
}
