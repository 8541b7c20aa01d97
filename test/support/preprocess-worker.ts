/** Worker thread that runs preprocessing graphs for the tests. */

import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { decodeImage } from '../../src/platform/node/sharp-decoder.js';

export interface GraphRun {
  readonly graph: Uint8Array;
  readonly image: string;
  /** Top, left, height and width. Without it the graph takes the image only. */
  readonly box?: readonly [number, number, number, number];
  readonly flip?: boolean;
}

const results: Float32Array[] = [];
for (const { graph, image, box, flip } of workerData as GraphRun[]) {
  const session = await InferenceSession.create(graph, { intraOpNumThreads: 1 });
  const { data, width, height } = await decodeImage(image);
  const feeds: Record<string, Tensor> = { image: new Tensor('uint8', data, [height, width, 3]) };
  if (box) {
    feeds.box = new Tensor('int64', BigInt64Array.from(box, BigInt), [4]);
    feeds.flip = new Tensor('bool', Uint8Array.of(flip === true ? 1 : 0), []);
  }
  const { pixels } = await session.run(feeds);
  results.push((pixels as Tensor).data as Float32Array);
  await session.release();
}
parentPort?.postMessage(results);
