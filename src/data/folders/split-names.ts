/** The usual names of the folders that hold the splits of a data set: train, val, test. */

/** Part of a data set: for training, for validation during training, for a last measurement. */
export type SplitRole = 'train' | 'val' | 'test';

const WORDS: Readonly<Record<SplitRole, readonly string[]>> = {
  train: ['train', 'training'],
  val: ['val', 'valid', 'validation', 'validate'],
  test: ['test', 'testing', 'tests'],
};

/** Words that may follow: `train_set`, `ValidationData`. */
const SUFFIX = /(set|sets|data|dataset|images|image|imgs|img|split|folder)$/;
/** Words for a split that are too rare, or mean too many things, to be one of {@link WORDS}. */
const OTHER_WORDS: Readonly<Record<string, SplitRole>> = {
  ...{
    trn: 'train',
    trainval: 'train',
    dev: 'val',
    eval: 'val',
    evaluation: 'val',
    holdout: 'test',
  },
};

/** Returns the letters and digits of a name, small, full-width ones as ordinary ones. */
function plain(name: string): string {
  return name
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, '');
}

function roleOfWord(word: string): SplitRole | null {
  const roles = Object.keys(WORDS) as SplitRole[];
  return roles.find((role) => WORDS[role].includes(word)) ?? null;
}

/**
 * Returns the split that a folder name means, in any case and spelling: `Train`, `VALID`, `test-set`; null for any
 * other name.
 */
export function splitRole(name: string): SplitRole | null {
  const word = plain(name);
  return roleOfWord(word) ?? roleOfWord(word.replace(SUFFIX, ''));
}

/**
 * Returns the split that a folder name may mean, because one of its words does: `train2017`, `seg_test`,
 * `ILSVRC2012_img_val`.
 */
export function possibleRole(name: string): SplitRole | null {
  const exact = splitRole(name);
  if (exact !== null) return exact;
  const words = name
    .normalize('NFKC')
    .replaceAll(/(\p{Ll})(\p{Lu})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}]+/u);
  for (const word of words) {
    const role = roleOfWord(word) ?? OTHER_WORDS[word];
    if (role) return role;
  }
  return null;
}
