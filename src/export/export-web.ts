/** The web page of a run. */

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Platform } from '../platform/platform.js';
import { type ExportOptions, type ExportResult } from './export-inference.js';
import { WEB_MODEL, writeWebPage } from './web-page.js';
import { exportInference } from './export-inference.js';

/**
 * Writes the page, and beside it the model that `options` make, with pictures in and probabilities out,
 * tried like any other.
 *
 * @throws whatever {@link exportInference} does; ConfigError where onnxruntime-web is not installed.
 */
export async function exportWebPage(
  options: ExportOptions,
  dir: string,
  platform: Platform,
): Promise<ExportResult> {
  await mkdir(dir, { recursive: true });
  const out = path.join(dir, WEB_MODEL);
  const form = { rawImages: true, probabilities: true } as const;
  const result = await exportInference({ ...options, ...form, out }, platform);
  const title = path.basename(path.resolve(options.run));
  await writeWebPage(dir, { title, classes: result.classes });
  return result;
}
