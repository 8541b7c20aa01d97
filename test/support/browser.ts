/** Drives a page in a real browser: Chromium over its debugging pipe, without other software. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
  readonly params?: unknown;
}

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
];

/** A page in a browser process of its own. */
export class Page {
  readonly #pending = new Map<number, (message: Message) => void>();
  /** Addresses that the page requested. */
  readonly requests: string[] = [];
  #sent = 0;
  #rest = '';
  #session = '';
  #loaded: (() => void) | null = null;

  private constructor(
    private readonly child: ChildProcess,
    private readonly profile: string,
    private readonly input: Writable,
    output: Readable,
  ) {
    output.setEncoding('utf8');
    output.on('data', (text: string) => {
      const messages = (this.#rest + text).split('\0');
      this.#rest = messages.pop() ?? '';
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
  }

  static async launch(program: string): Promise<Page> {
    const profile = await mkdtemp(path.join(os.tmpdir(), 'chromium-'));
    const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    const [, , , input, output] = child.stdio;
    const page = new Page(child, profile, input as Writable, output as Readable);
    type Target = { targetId: string };
    const { targetId } = await page.send<Target>('Target.createTarget', { url: 'about:blank' });
    const attached = { targetId, flatten: true };
    const { sessionId } = await page.send<{ sessionId: string }>('Target.attachToTarget', attached);
    page.#session = sessionId;
    for (const domain of ['Page', 'Network', 'Runtime', 'DOM']) await page.send(`${domain}.enable`);
    return page;
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.send('Browser.close').catch(() => undefined);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(timer);
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Sends a command of the DevTools protocol; returns its result. */
  async send<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#sent;
    const session = this.#session === '' ? {} : { sessionId: this.#session };
    const answer = new Promise<Message>((resolve) => this.#pending.set(id, resolve));
    this.input.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result as T;
  }

  #receive(message: Message): void {
    if (message.id !== undefined) {
      this.#pending.get(message.id)?.(message);
      this.#pending.delete(message.id);
    } else if (message.method === 'Page.loadEventFired') {
      this.#loaded?.();
    } else if (message.method === 'Network.requestWillBeSent') {
      this.requests.push((message.params as { request: { url: string } }).request.url);
    }
  }

  /** Sets the window's size and colour scheme. */
  async show(width: number, height: number, scheme: 'light' | 'dark' = 'light'): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.send('Emulation.setDeviceMetricsOverride', metrics);
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.send('Emulation.setEmulatedMedia', { features });
  }

  async open(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => {
      this.#loaded = resolve;
    });
    await this.send('Page.navigate', { url });
    await loaded;
  }

  /** Evaluates an expression in the page; awaits its value if that is a promise. */
  async evaluate<T>(expression: string): Promise<T> {
    type Answer = {
      result: { value: T };
      exceptionDetails?: { exception?: { description: string } };
    };
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send<Answer>('Runtime.evaluate', options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? 'failed');
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression: string, seconds = 30): Promise<void> {
    for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
      if (await this.evaluate<boolean>(`Boolean(${expression})`)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`not within ${seconds} s: ${expression}`);
  }

  /** Chooses files in an `<input type="file">`, as a person would. */
  async choose(selector: string, files: readonly string[]): Promise<void> {
    type Root = { root: { nodeId: number } };
    const { root } = await this.send<Root>('DOM.getDocument');
    const query = { nodeId: root.nodeId, selector };
    const { nodeId } = await this.send<{ nodeId: number }>('DOM.querySelector', query);
    await this.send('DOM.setFileInputFiles', { nodeId, files });
  }

  /** Returns the window as PNG or, with `whole`, the page at its full length. */
  async screenshot(whole = false): Promise<Buffer> {
    const options = { format: 'png', captureBeyondViewport: whole };
    const { data } = await this.send<{ data: string }>('Page.captureScreenshot', options);
    return Buffer.from(data, 'base64');
  }
}
