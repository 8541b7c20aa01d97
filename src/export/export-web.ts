/** Exports a run as a web page. */

import path from 'node:path';
import { makeFolder } from '../common/node/make-folder.js';
import type { Platform } from '../platform/platform.js';
import type { ExportOptions } from '../config/export-options.js';
import type { Naming } from '../config/validator.js';
import { exportInference, type ExportResult } from './export-inference.js';
import { findWebPackages, WEB_MODEL, writeWebPage } from './web-page.js';

/**
 * Writes the page and its model, which takes decoded images and gives probabilities. The model is verified as every
 * export is.
 *
 * @throws the errors of {@link exportInference}; ConfigError if a package that the page needs is not installed.
 */
export async function exportWebPage(
  options: ExportOptions,
  dir: string,
  naming: Naming,
  platform: Platform,
): Promise<ExportResult> {
  const packages = findWebPackages();
  await makeFolder(dir, { name: 'the folder of the web page' });
  const out = path.join(dir, WEB_MODEL);
  const form = { rawImages: true, probabilities: true } as const;
  const result = await exportInference({ ...options, ...form, out }, naming, platform);
  const title = path.basename(path.resolve(options.run));
  const { classes, exif } = result;
  const page = { title, classes, exif };
  await writeWebPage(dir, page, { files: platform.files, packages });
  return result;
}
