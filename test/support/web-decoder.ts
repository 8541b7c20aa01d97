/** Runs the decoder of the exported web page in a real browser. */

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { findWebPackages, webFiles, writeWebPage } from '../../src/export/web-page.js';
import type { ExifUse, RgbImage } from '../../src/platform/platform.js';
import { Page } from './browser.js';
import { serveFolder } from './serve-folder.js';

/** Decodes in the page; binary data travel as base64. */
const SCRIPT = `
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0'));
const letters = (data) => {
  let text = '';
  for (let at = 0; at < data.length; at += 30000) {
    text += String.fromCharCode(...data.subarray(at, at + 30000));
  }
  return text;
};
globalThis.decoded = async (base64, exif, brief) => {
  const { decode } = await import('/code/export/web/decode.js');
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  try {
    const { data, width, height } = await decode(new Blob([bytes]), exif);
    const levels = brief
      ? hex(await crypto.subtle.digest('SHA-256', data)).join('')
      : btoa(letters(data));
    return { width, height, levels };
  } catch (error) {
    return { problem: error.message };
  }
}`;

type Answer =
  | { readonly width: number; readonly height: number; readonly levels: string }
  | { readonly problem: string };

export interface WebDecoder {
  /** Decodes an image file as the page does. Rejects with the page's message if it refuses the file. */
  decode(bytes: Uint8Array, exif?: ExifUse): Promise<RgbImage>;
  /** Returns the SHA-256 of the levels in hexadecimal, for images that are too large for the browser's pipe. */
  hash(bytes: Uint8Array): Promise<string>;
  close(): Promise<void>;
}

/** Opens an exported page (without a model) in a browser. */
export async function openWebDecoder(program: string): Promise<WebDecoder> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'web-decoder-'));
  const settings = {
    title: 'pixels',
    classes: ['a', 'b'],
    exif: 'ignore',
    transforms: null,
  } as const;
  const contents = await webFiles(findWebPackages());
  await writeWebPage(dir, settings, { files: nodePlatform.files, contents });
  const server = await serveFolder(dir);
  const page = await Page.launch(program);
  await page.open(server.origin);
  await page.evaluate(SCRIPT);
  const ask = async (
    bytes: Uint8Array,
    exif: ExifUse,
    brief: boolean,
  ): Promise<Exclude<Answer, { problem: string }>> => {
    const file = JSON.stringify(Buffer.from(bytes).toString('base64'));
    const answer = await page.evaluate<Answer>(`decoded(${file}, '${exif}', ${brief})`);
    if ('problem' in answer) throw new Error(answer.problem);
    return answer;
  };
  return {
    async decode(bytes, exif = 'ignore') {
      const { width, height, levels } = await ask(bytes, exif, false);
      return { width, height, data: new Uint8Array(Buffer.from(levels, 'base64')) };
    },
    async hash(bytes) {
      return (await ask(bytes, 'ignore', true)).levels;
    },
    async close() {
      await page.close();
      server.close();
      await rm(dir, { recursive: true });
    },
  };
}
