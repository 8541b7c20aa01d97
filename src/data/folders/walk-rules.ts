/** Rules of the walker: which files and folders it takes. */

import { composed } from '../../common/text.js';
import { isImageName, leftoverReason } from './file-names.js';

/** Decides by names. */
export interface WalkRules {
  /**
   * Returns why a file or folder is left out; null if it is not.
   *
   * @param depth 0 in the folder of the class folders, 1 in a class folder, and so on.
   */
  readonly leftover: (
    name: string,
    isFolder: boolean,
    depth: number,
  ) => ReturnType<typeof leftoverReason>;
  /** Returns whether a file is an image by its name. */
  readonly isImage: (name: string) => boolean;
  /** Whether other files are judged by their first bytes. */
  readonly byContent: boolean;
  /** Returns the form of a class name by which it is compared. */
  readonly classKey: (name: string) => string;
}

/** The rules of docs/data.md. */
export const RULES: WalkRules = {
  leftover: (name, isFolder, depth) => leftoverReason(name, isFolder, depth > 0),
  isImage: isImageName,
  byContent: true,
  classKey: composed,
};

/** The rules where folders are not classes, as in `predict`: any of them could be one of those. */
export const ANY_FOLDER_RULES: WalkRules = {
  ...RULES,
  leftover: (name, isFolder) => leftoverReason(name, isFolder),
};

/** Extensions that versions up to 0.2.0 took: those of torchvision. */
const EARLIER = ['.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp'];

/** The rules of versions up to 0.2.0, for runs that they began. */
export const EARLIER_RULES: WalkRules = {
  leftover: (name, _, depth) => (depth === 0 && name.startsWith('.') ? 'hidden' : null),
  isImage: (name) => EARLIER.some((extension) => name.toLowerCase().endsWith(extension)),
  byContent: false,
  classKey: (name) => name,
};
