/** Answers why a provider cannot load a graph; null if it can. It runs in a process of its own (run-apart.ts). */

import { answer } from '../../common/node/run-apart.js';
import { openHere } from '../../devices/choose-device.js';
import { openArtifacts } from './defaults.js';
import { ortNode } from './ort-node.js';

const [provider, dir = ''] = process.argv.slice(2);
const artifacts = await openArtifacts(dir);
const opened = await openHere(provider === 'cuda' ? 'cuda' : 'webgpu', 1, artifacts, ortNode);
if (typeof opened !== 'string') await opened.close();
answer(typeof opened === 'string' ? opened : null);
