/** Artifact folders whose graphs differ from the fixture's: what a rebuilt network looks like to a run. */

import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Manifest } from '../../src/artifacts/manifest.js';
import type { GraphName } from '../../src/artifacts/open-artifacts.js';
import { type GraphProto, ModelProtoSchema } from '../../src/onnx/onnx_pb.js';
import { TINY } from './paths.js';
import { readStored } from './stored-graph.js';

export interface Rebuild {
  /** Changes a graph; returns whether it did. */
  readonly edit?: (graph: GraphProto, name: GraphName) => boolean;
  /** Fields of the manifest to replace. */
  readonly manifest?: Partial<Manifest>;
}

type Tensors = { name: string; dtype: string; shape: (number | string)[] }[];
type Entries = Record<string, { file: string; sha256: string; inputs: Tensors }>;

/** Copies the tiny network's artifacts to `folder` and changes them; returns the folder. */
export function rebuildTiny(folder: string, { edit, manifest = {} }: Rebuild): string {
  cpSync(TINY, folder, { recursive: true });
  const file = path.join(folder, 'manifest.json');
  const found = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const graphs = found.graphs as Entries;
  for (const [name, entry] of Object.entries(graphs)) {
    const model = fromBinary(
      ModelProtoSchema,
      readStored(folder, path.parse(entry.file).name.slice(0, -5)),
    );
    if (model.graph === undefined || edit?.(model.graph, name as GraphName) !== true) continue;
    const bytes = toBinary(ModelProtoSchema, model);
    writeFileSync(path.join(folder, entry.file), gzipSync(bytes));
    entry.sha256 = createHash('sha256').update(bytes).digest('hex');
    entry.inputs = model.graph.input.map(({ name: input, type }) => {
      const before = entry.inputs.find((one) => one.name === input);
      if (before !== undefined) return before;
      const dims = type?.value.case === 'tensorType' ? type.value.value.shape?.dim : [];
      const shape = (dims ?? []).map(({ value }) =>
        value.case === 'dimValue' ? Number(value.value) : (value.value ?? ''),
      );
      return { name: input, dtype: 'float32', shape };
    });
  }
  writeFileSync(file, JSON.stringify({ ...found, ...manifest }));
  return folder;
}
