/** Worker thread that serves ONNX Runtime of onnxruntime-node. */

import { parentPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { serveRequests } from '../../common/worker-client.js';
import { OrtServer } from '../../session/ort-server.js';

if (parentPort === null) throw new Error('ort-thread must run as a worker thread');
// On WebGPU a pre-allocated output would stay unwritten.
serveRequests(parentPort, new OrtServer(ort, ['cpu']));
