/** Worker thread that decodes images with sharp and preprocesses them with onnxruntime-node. */

import { parentPort, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import { serveRequests } from '../../common/worker-client.js';
import { ImageServer } from '../../images/workers/image-server.js';
import type { LoaderSetup } from '../../images/workers/worker-messages.js';
import { nodeFiles } from './files.js';
import { sha256 } from './hash.js';
import { collecting } from './garbage.js';
import { decodeImage } from './sharp-decoder.js';

if (parentPort === null) throw new Error('image-thread must run as a worker thread');
// The number of workers gives the parallelism, and no image is read again soon.
sharp.concurrency(1);
sharp.cache(false);
const host = { files: nodeFiles, sha256, decoder: { decode: collecting(decodeImage) } };
serveRequests(parentPort, new ImageServer(workerData as LoaderSetup, host, ort));
