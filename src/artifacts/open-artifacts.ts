/** Opens an artifact folder: reads the manifest and verifies the graphs it names. */

import { ArtifactError } from '../common/errors.js';
import { messageOf } from '../common/format.js';
import { decodeJson } from '../common/json.js';
import type { Platform } from '../platform/platform.js';
import { FORMAT_VERSION, type Manifest } from './manifest.js';

/** Name of a graph in the manifest. */
export type GraphName = keyof Manifest['graphs'];

/** An artifact folder, opened. */
export interface Artifacts {
  readonly dir: string;
  readonly manifest: Manifest;
  /** Returns the path of a graph's file, below `dir`. The file holds the graph gzip'ed. */
  graphPath(graph: GraphName): string;
  /** Reads and expands a graph; returns an ONNX model in memory of its own. */
  readGraph(graph: GraphName): Promise<Uint8Array<ArrayBuffer>>;
  /** The ONNX models that crop, resize and normalise an image. */
  readonly preprocessingGraphs: Readonly<Record<'train' | 'evaluate', Uint8Array>>;
  /** Path of the initial checkpoint that the build may have left (not part of the package). */
  readonly initialCheckpoint: string;
}

/** The host's parts that artifacts are read with. */
export type ArtifactPlatform = Pick<Platform, 'files' | 'sha256' | 'gunzip'>;

/**
 * Opens an artifact folder and verifies every graph's SHA-256 against the manifest.
 *
 * @throws ArtifactError if the folder, the manifest or a graph is missing or differs.
 */
export async function openArtifacts(
  dir: string,
  platform: ArtifactPlatform,
): Promise<Artifacts> {
  const { files } = platform;
  const manifestPath = below(dir, 'manifest.json');
  const manifest = await readManifest(manifestPath, platform);
  const graphs: Partial<Manifest['graphs']> = manifest.graphs;
  const graphPath = (graph: GraphName): string => {
    const spec = graphs[graph];
    if (spec !== undefined) return below(dir, spec.file);
    throw new ArtifactError(
      `expected the ${graph} graph in ${manifestPath}, found none of that name; rebuild it with "npm run artifacts"`,
    );
  };
  const readGraph = async (graph: GraphName): Promise<Uint8Array<ArrayBuffer>> => {
    const file = graphPath(graph);
    const refuse =
      (found: string) =>
      (cause: unknown): never => {
        throw new ArtifactError(
          `expected the ${graph} graph at ${file}, found ${found}; rebuild it with "npm run artifacts"`,
          { cause },
        );
      };
    const stored = await files.read(file).catch(refuse('none'));
    return platform.gunzip(stored).catch(refuse('a file that is not gzip, or damaged'));
  };
  await Promise.all(
    Object.entries(manifest.graphs).map(async ([name, { sha256: expected }]) => {
      const graph = name as GraphName;
      const hash = platform.sha256();
      hash.update(await readGraph(graph));
      const found = hash.digest();
      if (found === expected) return;
      throw new ArtifactError(
        `expected SHA-256 ${expected} for ${graphPath(graph)}, found ${found}; rebuild it with "npm run artifacts"`,
      );
    }),
  );
  const preprocessingGraphs = {
    train: await readGraph('preprocessTrain'),
    evaluate: await readGraph('preprocessEvaluate'),
  };
  const initialCheckpoint = below(dir, 'initial.safetensors');
  return { dir, manifest, graphPath, readGraph, preprocessingGraphs, initialCheckpoint };
}

async function readManifest(
  file: string,
  { files }: Pick<Platform, 'files'>,
): Promise<Manifest> {
  const bytes = await files.read(file).catch((cause: unknown) => {
    throw new ArtifactError(
      `expected an artifact manifest at ${file}, found none; build it with "npm run artifacts"`,
      { cause },
    );
  });
  let manifest: Manifest;
  try {
    manifest = decodeJson(bytes) as Manifest;
  } catch (cause) {
    throw new ArtifactError(
      `expected JSON in ${file}, found ${messageOf(cause)}; rebuild it with "npm run artifacts"`,
      { cause },
    );
  }
  const format = (manifest as { formatVersion?: unknown } | null)?.formatVersion;
  if (format === FORMAT_VERSION) return manifest;
  throw new ArtifactError(
    `expected manifest format ${FORMAT_VERSION} in ${file}, found ${String(format)}; rebuild it with "npm run artifacts" of this version`,
  );
}

/** Returns the path of a file in `dir`. */
function below(dir: string, name: string): string {
  return `${dir.replace(/[/\\]+$/, '')}/${name}`;
}
