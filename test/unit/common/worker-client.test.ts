import { MessageChannel } from 'node:worker_threads';
import { afterEach, expect, test } from '@jest/globals';
import * as errors from '../../../src/common/errors.js';
import {
  serveRequests,
  WorkerClient,
  type Answer,
  type RequestHandler,
} from '../../../src/common/worker-client.js';

let channels: MessageChannel[] = [];

afterEach(() => {
  for (const { port1, port2 } of channels) {
    port1.close();
    port2.close();
  }
  channels = [];
});

/** A client whose "thread" is the other port of a channel; closing that port ends it, as with a thread. */
function connect<Request>(
  handler: RequestHandler<Request>,
  keepAlive?: 'while-pending',
): { client: WorkerClient<Request>; calls: string[]; fail: (error: Error) => void } {
  const channel = new MessageChannel();
  channels.push(channel);
  const { port1, port2 } = channel;
  const calls: string[] = [];
  port1.on('close', () => port1.emit('exit', 0));
  const thread = {
    postMessage: port1.postMessage.bind(port1),
    on: port1.on.bind(port1),
    ref: () => calls.push('ref'),
    unref: () => calls.push('unref'),
  };
  serveRequests(port2, handler);
  const fail = (error: Error): void => void port1.emit('error', error);
  return { client: new WorkerClient<Request>(thread, 'the test thread', keepAlive), calls, fail };
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

test('requests are carried out one at a time, in order', async () => {
  const log: string[] = [];
  const { client } = connect<number>({
    async handle(milliseconds): Promise<Answer> {
      log.push(`begin ${milliseconds}`);
      await pause(milliseconds);
      log.push(`end ${milliseconds}`);
      return { value: milliseconds };
    },
  });
  const answers = [30, 1, 10].map((milliseconds) => client.request(milliseconds));
  expect(client.pending).toBe(3);
  expect(await Promise.all(answers)).toEqual([30, 1, 10]);
  expect(log).toEqual(['begin 30', 'end 30', 'begin 1', 'end 1', 'begin 10', 'end 10']);
  expect(client.pending).toBe(0);
});

/** One error of each class of errors.ts. */
const TYPED: readonly errors.UserError[] = [
  new errors.UserError('user'),
  new errors.ConfigError('config'),
  new errors.DatasetError('dataset'),
  new errors.BadImagesError([{ path: 'a.jpg', reason: 'an empty file' }]),
  new errors.WeightsError('weights'),
  new errors.ArtifactError('artifact'),
  new errors.DeviceError('device'),
  new errors.TrainingError('training'),
  new errors.DistributedError('distributed', {}, true),
  new errors.InterruptedError('runs/train-1', 7),
];

test('errors of errors.ts keep class, message and properties', async () => {
  const { client } = connect<number>({
    handle: (index) => Promise.reject(TYPED[index] ?? new Error('no such error')),
  });
  const classes = Object.values(errors).filter((item) => {
    const prototype: unknown = item.prototype;
    return prototype instanceof Error;
  });
  expect(new Set(TYPED.map((error) => error.constructor))).toEqual(new Set(classes));
  for (const [index, thrown] of TYPED.entries()) {
    const error: unknown = await client.request(index).catch((reason: unknown) => reason);
    expect((error as errors.UserError).constructor).toBe(thrown.constructor);
    expect(Object.entries(error as errors.UserError)).toEqual(Object.entries(thrown));
    expect((error as errors.UserError).message).toBe(thrown.message);
  }
});

test('other errors come back as Error, and the thread goes on', async () => {
  const { client } = connect<string>({
    handle(request): Promise<Answer> {
      if (request === 'type') throw new TypeError('a type error');
      return Promise.resolve({ value: request === 'function' ? pause : request });
    },
  });
  const type: unknown = await client.request('type').catch((reason: unknown) => reason);
  expect(type).toBeInstanceOf(Error);
  expect(type).not.toBeInstanceOf(errors.UserError);
  await expect(client.request('type')).rejects.toThrow('a type error');
  await expect(client.request('function')).rejects.toThrow('could not be cloned');
  expect(await client.request('next')).toBe('next');
});

test('the end of the thread rejects what is pending and what follows', async () => {
  const { client } = connect({ handle: () => new Promise<Answer>(() => undefined) });
  const [first, second] = [client.request(1), client.request(2)];
  channels[0]?.port2.close();
  const message = 'the test thread has ended (code 0)';
  await expect(first).rejects.toThrow(message);
  await expect(second).rejects.toThrow(message);
  expect((await client.ended).message).toBe(message);
  await expect(client.request(3)).rejects.toThrow(message);
});

test('an error of the thread itself rejects what is pending and what follows', async () => {
  const { client, fail } = connect({ handle: () => new Promise<Answer>(() => undefined) });
  const pending = client.request(1);
  fail(new Error('out of memory'));
  const message = 'the test thread failed: Error: out of memory';
  await expect(pending).rejects.toThrow(message);
  await expect(client.request(2)).rejects.toThrow(message);
  expect((await client.ended).message).toBe(message);
});

test('buffers move to the thread and back', async () => {
  const seen: number[] = [];
  const { client } = connect<Float32Array<ArrayBuffer>>({
    handle(values): Promise<Answer> {
      values[0] = 5;
      seen.push(values.length);
      setImmediate(() => seen.push(values.length));
      return Promise.resolve({ value: values, transfer: [values.buffer] });
    },
  });
  const values = Float32Array.of(1, 2);
  const answer = client.request(values, [values.buffer]);
  expect(values).toHaveLength(0);
  expect([...((await answer) as Float32Array)]).toEqual([5, 2]);
  await pause(1);
  expect(seen).toEqual([2, 0]);
});

test('closing runs the earlier requests, then the clean-up', async () => {
  const log: string[] = [];
  const { client } = connect<string>({
    async handle(request, signal): Promise<Answer> {
      await pause(5);
      log.push(`${request} ${signal.aborted}`);
      return { value: request };
    },
    close(): Promise<void> {
      log.push('clean-up');
      return Promise.reject(new Error('the clean-up failed'));
    },
  });
  const answers = [client.request('first'), client.request('second')];
  await client.close();
  expect(await Promise.all(answers)).toEqual(['first', 'second']);
  expect(log).toEqual(['first true', 'second true', 'clean-up']);
  await expect(client.request('third')).rejects.toThrow('has ended');
});

test('keeps the process alive only while requests are pending', async () => {
  const handler = { handle: (value: number): Promise<Answer> => Promise.resolve({ value }) };
  const always = connect(handler);
  await always.client.request(1);
  expect(always.calls).toEqual([]);
  const { client, calls } = connect(handler, 'while-pending');
  expect(calls).toEqual(['unref']);
  const answers = [client.request(1), client.request(2)];
  expect(calls).toEqual(['unref', 'ref', 'ref']);
  await Promise.all(answers);
  expect(calls).toEqual(['unref', 'ref', 'ref', 'unref']);
  const last = client.request(3);
  const closed = client.close();
  await last;
  await closed;
  // While it closes, an answer does not let the process go.
  expect(calls.slice(4)).toEqual(['ref', 'ref']);
});
