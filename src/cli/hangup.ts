/** SIGHUP, which a closing terminal sends, and `nohup`, which asks a program to ignore it. */

import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isatty } from 'node:tty';

/** Process of the chain npm, shell, this one. */
const NPM_ANCESTORS = 3;
const HANGUP_BIT = 1n;
const ACCESS_MODE = 0o3;
const WRITE_ONLY = 0o1;

/**
 * Returns whether this process was started with SIGHUP ignored: by `nohup`, or by a shell after `trap '' HUP`. Node.js
 * gives every signal its usual effect back when it starts, so the answer is read from what the starter has left: the
 * shell's variable `_`, standard input as `nohup` redirects it, or the signals that the parent itself ignores.
 */
export function hangupIgnored(env: Readonly<NodeJS.ProcessEnv> = process.env): boolean {
  if (path.basename(env._ ?? '') === 'nohup') return true;
  if (process.platform !== 'linux') return false;
  // npm is a Node.js program as well: whoever started npm tells.
  const count = env.npm_lifecycle_event === undefined ? 1 : NPM_ANCESTORS;
  return inputIsOfNohup() || ancestors(count).some((text) => ignoresHangup(text));
}

/** Returns whether standard input is /dev/null, opened for writing alone: `nohup` does so in place of a terminal. */
function inputIsOfNohup(): boolean {
  try {
    if (readlinkSync('/proc/self/fd/0') !== '/dev/null') return false;
    const [, flags = ''] =
      /^flags:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8')) ?? [];
    return (Number.parseInt(flags, 8) & ACCESS_MODE) === WRITE_ONLY;
  } catch {
    return false;
  }
}

/** Returns the status of the nearest ancestors as /proc shows it. */
function ancestors(count: number): string[] {
  const found: string[] = [];
  let pid: number | string | undefined = process.ppid;
  try {
    while (found.length < count && Number(pid) > 1) {
      const text: string = readFileSync(`/proc/${pid ?? 0}/status`, 'utf8');
      found.push(text);
      pid = /^PPid:\s*(\d+)$/m.exec(text)?.[1];
    }
  } catch {
    // The process has ended, or is hidden.
  }
  return found;
}

function ignoresHangup(status: string): boolean {
  const [, mask = '0'] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return (BigInt(`0x${mask}`) & HANGUP_BIT) !== 0n;
}

/**
 * Keeps a terminal that has closed from spoiling the exit code. Node.js restores the terminal's settings when it ends,
 * and aborts if the terminal is gone (in 20.20); it leaves alone a descriptor that has become another file.
 */
export function outliveTerminal(): void {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  process.on('exit', () => {
    for (const fd of terminals) {
      if (isatty(fd)) continue;
      closeSync(fd);
      // Takes the lowest number that is free.
      openSync(os.devNull, 'r+');
    }
  });
}
