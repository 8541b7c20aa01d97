/** Watches the output of a process while it runs. */

import { spawn, type ChildProcess } from 'node:child_process';

/** Exit code, signal and output of a process. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TimedEnd extends End {
  readonly seconds: number;
}

export interface WatchedOptions {
  readonly cwd?: string | undefined;
  /** Variables added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export class WatchedProcess {
  readonly child: ChildProcess;
  /** Rejects if the command cannot be started. */
  readonly ended: Promise<TimedEnd>;
  #stdout = '';
  #stderr = '';
  readonly #watchers = new Set<() => void>();

  constructor(command: string, words: readonly string[], { cwd, env }: WatchedOptions) {
    const began = performance.now();
    this.child = spawn(command, words, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#look();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#look();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        const seconds = (performance.now() - began) / 1000;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr, seconds });
        this.#look();
      });
    });
  }

  #look(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Waits until the output matches `pattern`; returns the match. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
        const over = this.child.exitCode !== null || this.child.signalCode !== null;
        if (found === null && !over) return;
        this.#watchers.delete(look);
        if (found !== null) resolve(found);
        else {
          const text = `${this.#stdout}${this.#stderr}`;
          reject(new Error(`ended without ${String(pattern)}: ${text}`));
        }
      };
      this.#watchers.add(look);
      look();
    });
  }
}
