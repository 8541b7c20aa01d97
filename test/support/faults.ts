/**
 * Breaks or kills a program at a chosen file operation. It is loaded before the program (`node --import`), which
 * needs no code for it. The variable `FAULT` holds a {@link Fault} as JSON.
 */

import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

export interface Fault {
  /**
   * Moment of the fault. For the temporary file: just opened (`open`), half a chunk written (`write`), about to be
   * synced (`sync`), about to be renamed (`rename`), just renamed (`renamed`). Others: a second name is about to be
   * given (`link`), an old file is about to be removed (`rm`) or was just removed (`removed`), the folder is about
   * to be synced (`folder`).
   */
  readonly at:
    'open' | 'write' | 'sync' | 'rename' | 'renamed' | 'link' | 'rm' | 'removed' | 'folder';
  /** Part of the file's path. */
  readonly file: string;
  /** The fault strikes at the nth such operation, from 1. */
  readonly nth: number;
  readonly action: 'kill' | 'fail' | 'sleep';
}

const fault = JSON.parse(process.env.FAULT ?? 'null') as Fault | null;
let seen = 0;

async function reach(at: Fault['at'], file: unknown): Promise<void> {
  if (at !== fault?.at || !String(file).includes(fault.file) || ++seen !== fault.nth) return;
  if (fault.action === 'kill') process.kill(process.pid, 'SIGKILL');
  if (fault.action === 'fail') throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  process.stdout.write('asleep\n');
  await new Promise((resolve) => setTimeout(resolve, 20_000));
}

if (fault !== null) {
  const { open, rename, rm, link } = fs;
  fs.open = async (...args) => {
    const file = args[0] as string;
    const handle = await open(...args);
    const sync = handle.sync.bind(handle);
    const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>;
    const isFolder = path.extname(file) === '';
    if (!isFolder) await reach('open', file);
    handle.sync = async () => {
      await reach(isFolder ? 'folder' : 'sync', file);
      await sync();
    };
    const halfWrite = async (
      bytes: Uint8Array,
      offset: number,
      length: number,
    ): Promise<unknown> => {
      if (fault.at === 'write' && file.includes(fault.file) && seen + 1 === fault.nth) {
        await write(bytes, offset, length >> 1);
      }
      await reach('write', file);
      return write(bytes, offset, length);
    };
    handle.write = halfWrite as typeof handle.write;
    return handle;
  };
  fs.rename = async (from, to) => {
    await reach('rename', to);
    await rename(from, to);
    await reach('renamed', to);
  };
  fs.link = async (from, to) => {
    await reach('link', to);
    await link(from, to);
  };
  fs.rm = async (file, options) => {
    await reach('rm', file);
    await rm(file, options);
    await reach('removed', file);
  };
  syncBuiltinESMExports();
}
