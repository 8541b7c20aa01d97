/** Finds the common prefix of a network's names in a file, such as the `module.` of DataParallel. */

/** A prefix under which the network's names are in the file; empty if they are as they are. */
export interface FoundPrefix {
  readonly prefix: string;
  /** Other prefixes under which as many of the names are. */
  readonly others: readonly string[];
}

/** Names of averaged copies, such as `model_ema`. */
const AVERAGE = /(?:^|[._-])(?:ema|swa|averaged?|shadow)(?:[._-]|$)/i;

/** Checks whether a prefix or key is that of an averaged copy of the weights. */
export function isAverage(name: string): boolean {
  return AVERAGE.test(name);
}

/**
 * Returns the prefix under which most of `expected` are among `names`. If several are equal, it is one that is
 * not of an averaged copy, and then the shortest. It is empty if less than half of them have the same prefix.
 */
export function findPrefix(names: Iterable<string>, expected: ReadonlySet<string>): FoundPrefix {
  const counts = countPrefixes(names, expected);
  let most = expected.size / 2;
  for (const count of counts.values()) most = Math.max(most, count);
  const best = [...counts.keys()].filter((prefix) => counts.get(prefix) === most);
  best.sort((a, b) => Number(isAverage(a)) - Number(isAverage(b)) || a.length - b.length);
  const [prefix = '', ...others] = best;
  return { prefix, others };
}

/** Counts the expected names per text in front of them. */
function countPrefixes(
  names: Iterable<string>,
  expected: ReadonlySet<string>,
): Map<string, number> {
  const counts = new Map<string, number>();
  let longest = 0;
  for (const name of expected) longest = Math.max(longest, name.length);
  for (const name of names) {
    // A hostile name may be endless: look no further back than a name of the network reaches.
    const from = Math.max(0, name.length - longest);
    let at = name.length;
    while (at > from) {
      at = at < 2 ? 0 : name.lastIndexOf('.', at - 2) + 1;
      if (at < from || !expected.has(name.slice(at))) continue;
      const prefix = name.slice(0, at);
      counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    }
  }
  return counts;
}
