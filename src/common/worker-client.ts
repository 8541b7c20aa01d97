/**
 * Requests to a worker thread and their answers. The thread carries requests out one at a time, in the order they
 * were sent. Errors of common/errors.ts keep their class on the way back.
 */

import type { Port, ThreadPort, WorkerThread } from '../platform/platform.js';
import * as errors from './errors.js';

/** An error as data. Structured cloning would drop its class and its own properties. */
interface ErrorData {
  /** Name of a class of common/errors.ts; null for every other error. */
  readonly type: string | null;
  readonly message: string;
  /** The error's own properties, such as `images` of BadImagesError. */
  readonly fields: object;
}

type Message = { readonly id: number; readonly request: unknown } | { readonly close: true };

type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorData };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

function toData(error: unknown): ErrorData {
  if (!(error instanceof Error)) return { type: null, message: String(error), fields: {} };
  // Not `error.name`: a BadImagesError calls itself a DatasetError.
  const type = Object.entries(errors).find(([, item]) => item === error.constructor)?.[0] ?? null;
  const fields = type === null ? {} : Object.assign({}, error);
  return { type, message: error.message, fields };
}

function revive({ type, message, fields }: ErrorData): Error {
  const error = new Error(message);
  const prototype: unknown = Object.entries(errors).find(([name]) => name === type)?.[1].prototype;
  // Not by the class's constructor: each class has other parameters.
  if (prototype instanceof Error) Object.setPrototypeOf(error, prototype);
  return Object.assign(error, fields);
}

/** The caller's end: sends requests to a thread and gives each its answer. */
export class WorkerClient<Request> {
  readonly #thread: WorkerThread;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<Error>;
  /** Resolves when the thread answers no more requests, with the reason. */
  readonly ended: Promise<Error>;
  #requests = 0;
  #ended: Error | null = null;
  #closing = false;

  /**
   * @param name what the thread is called in errors.
   * @param keepAlive whether the thread keeps the process alive always, or only while requests are pending.
   */
  constructor(
    thread: WorkerThread,
    name: string,
    private readonly keepAlive: 'always' | 'while-pending' = 'always',
  ) {
    this.#thread = thread;
    if (keepAlive === 'while-pending') thread.unref();
    thread.on('message', (message) => {
      this.#settle(message as Reply);
    });
    const failed = new Promise<Error>((resolve) => {
      thread.on('error', (cause) => {
        resolve(this.#end(new Error(`${name} failed: ${String(cause)}`, { cause })));
      });
    });
    this.#exited = new Promise((resolve) => {
      thread.on('exit', (code) => {
        resolve(this.#end(new Error(`${name} has ended (code ${code})`)));
      });
    });
    this.ended = Promise.race([failed, this.#exited]);
  }

  /** Number of requests that have no answer yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Sends a request; resolves to its answer.
   *
   * @param transfer buffers of the request that move to the thread.
   * @throws the error the thread threw, or an Error if the thread has ended.
   */
  request(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = this.#requests++;
    return new Promise((resolve, reject) => {
      // Post before anything is recorded, because this throws if the request cannot be cloned. The answer cannot
      // arrive before this function has returned.
      this.#thread.postMessage({ id, request } satisfies Message, transfer);
      this.#pending.set(id, { resolve, reject });
      if (this.keepAlive === 'while-pending') this.#thread.ref();
    });
  }

  /** Lets the process end although requests are pending; the next request keeps it alive again. */
  unref(): void {
    this.#thread.unref();
  }

  /**
   * Ends the thread after the requests before, and resolves when it has ended. It is never terminated from outside:
   * a thread that is stopped inside a native library takes the process down.
   */
  async close(): Promise<void> {
    this.#closing = true;
    // Waiting for the end must keep the process alive.
    this.#thread.ref();
    this.#thread.postMessage({ close: true } satisfies Message, []);
    await this.#exited;
  }

  #settle(reply: Reply): void {
    const waiting = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    const isIdle = this.#pending.size === 0 && !this.#closing;
    if (isIdle && this.keepAlive === 'while-pending') this.#thread.unref();
    if ('error' in reply) waiting?.reject(revive(reply.error));
    else waiting?.resolve(reply.value);
  }

  /** Rejects what is pending and all that follows; the first reason stays. */
  #end(error: Error): Error {
    this.#ended ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
    return this.#ended;
  }
}

/** Result of a handler: the answer, and its buffers that move to the caller. */
export interface Answer {
  readonly value: unknown;
  readonly transfer?: readonly ArrayBuffer[];
}

/** How a thread carries out requests. */
export interface RequestHandler<Request> {
  /**
   * Carries out one request. The next one begins when this one has its answer.
   *
   * @param signal aborted as soon as the caller closes the thread, while earlier requests may still wait.
   */
  handle(request: Request, signal: AbortSignal): Answer | Promise<Answer>;
  /** Frees what the thread holds, after the last request. */
  close?(): Promise<void>;
}

/** The thread's end: answers the requests of a {@link WorkerClient} until it closes. */
export function serveRequests<Request>(port: ThreadPort, handler: RequestHandler<Request>): void {
  const closing = new AbortController();
  let queue = Promise.resolve();
  port.on('message', (data) => {
    const message = data as Message;
    if ('close' in message) {
      closing.abort();
      // The thread ends in any case: nobody waits for an error of its clean-up.
      queue = queue.then(() => handler.close?.()).catch(() => undefined);
      queue = queue.then(() => {
        port.close();
      });
    } else {
      const request = message.request as Request;
      queue = queue.then(() =>
        answer(port, message.id, () => handler.handle(request, closing.signal)),
      );
    }
  });
}

async function answer(
  port: Port,
  id: number,
  handle: () => Answer | Promise<Answer>,
): Promise<void> {
  try {
    const { value, transfer } = await handle();
    port.postMessage({ id, value } satisfies Reply, transfer ?? []);
  } catch (error) {
    port.postMessage({ id, error: toData(error) } satisfies Reply, []);
  }
}
