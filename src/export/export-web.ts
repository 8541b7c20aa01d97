/** Exports a run as a web page. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { makeFolder } from '../common/node/make-folder.js';
import { isFolder } from '../common/node/paths.js';
import type { Platform } from '../platform/platform.js';
import type { ExportOptions } from '../config/export-options.js';
import { checkOutput } from '../config/check-output.js';
import { type Naming, Validator } from '../config/validator.js';
import { evaluationTransforms } from '../inference/classifier.js';
import { describeModel } from '../inference/model-file.js';
import { exportInference, isModel, type ExportResult } from './export-inference.js';
import { findWebPackages, isWebPage, WEB_MODEL, webFiles, writeWebPage } from './web-page.js';

/**
 * Checks that a page can be written to a folder: it is new, or has no other files of the page's names.
 *
 * @throws ConfigError if not; ConfigError if a package that the page needs is not installed.
 */
export async function checkWebFolder(dir: string, naming: Naming): Promise<void> {
  const packages = findWebPackages();
  const validator = new Validator(naming);
  const expected = 'a new folder, or one that "export-inference --web" wrote';
  if (!existsSync(dir)) return;
  if (!isFolder(dir)) {
    throw validator.error('web', expected, dir, `${dir} is something else; choose another name`);
  }
  const place = { option: 'web', given: dir, expected };
  const page = path.join(dir, 'index.html');
  await checkOutput({ ...place, file: page, isOwn: isWebPage }, validator);
  await checkOutput({ ...place, file: path.join(dir, WEB_MODEL), isOwn: isModel }, validator);
  // The page is written last: without it, files of these names are others', unless they hold the same.
  const hasPage = isWebPage(await readFile(page).catch(() => new Uint8Array()));
  for (const [name, content] of await webFiles(packages)) {
    const file = path.join(dir, name);
    const taken = foldersAbove(name)
      .map((folder) => path.join(dir, folder))
      .find((folder) => existsSync(folder) && !isFolder(folder));
    if (taken !== undefined) {
      throw validator.error(
        'web',
        expected,
        dir,
        `${taken} is something else; choose another name`,
      );
    }
    if (!existsSync(path.dirname(file))) continue;
    const isOwn = (bytes: Uint8Array): boolean => hasPage || Buffer.from(content).equals(bytes);
    await checkOutput({ ...place, file, isOwn }, validator);
  }
}

/** Returns the folders that a path leads through, from the outermost on. */
function foldersAbove(name: string): string[] {
  const folder = path.dirname(name);
  return folder === '.' ? [] : [...foldersAbove(folder), folder];
}

/**
 * Writes the page and its model, which takes decoded images and gives probabilities. The model is verified as every
 * export is.
 *
 * @throws the errors of {@link exportInference}; the errors of {@link checkWebFolder}.
 */
export async function exportWebPage(
  options: ExportOptions,
  dir: string,
  naming: Naming,
  platform: Platform,
): Promise<ExportResult> {
  await checkWebFolder(dir, naming);
  const contents = await webFiles(findWebPackages());
  await makeFolder(dir, { name: 'the folder of the web page' });
  const out = path.join(dir, WEB_MODEL);
  const form = { rawImages: true, probabilities: true } as const;
  const result = await exportInference({ ...options, ...form, out }, naming, platform);
  const title = path.basename(path.resolve(options.run));
  const { classes, exif } = result;
  const { preprocessing } = describeModel(out, await platform.files.read(out));
  const page = { title, classes, exif, transforms: evaluationTransforms(preprocessing) };
  await writeWebPage(dir, page, { files: platform.files, contents });
  return result;
}
