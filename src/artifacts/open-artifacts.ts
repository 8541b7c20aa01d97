/** Reading an artifact folder: the manifest, and the graphs it names. */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ArtifactError } from '../common/errors.js';
import { PACKAGE_ROOT } from '../common/package-info.js';

/** A tensor's name, element type and shape; a string is a symbolic dimension (`K`, `N`, `C`, `H`, `W`). */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: 'float32' | 'int64' | 'uint8' | 'bool';
  readonly shape: readonly (number | string)[];
}

/** An ONNX file of the artifacts. */
export interface GraphSpec {
  readonly file: string;
  readonly sha256: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** How torchvision initialises a tensor, so that `--weights random` can do the same. */
export type Initializer =
  | { readonly kind: 'kaiming_normal_fan_out'; readonly fanOut: number }
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'constant'; readonly value: number };

/** A trained tensor. Its momentum has the name `momentum.<name>` and the same shape. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly (number | 'C')[];
  /** `head` tensors depend on the class count, are always fresh and learn at `head_lr`. */
  readonly role: 'backbone' | 'head';
  readonly init: Initializer;
}

/** A BatchNorm running statistic, part of the state but not trained. */
export interface BufferSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
}

/** One convolution of the inference template and the BatchNorm folded into it. */
export interface FoldSpec {
  /** Name of the convolution weight, both in the state and as the template's input. */
  readonly weight: string;
  /** The template's input for the folded bias; not part of the state. */
  readonly bias: string;
  /** Prefix of the BatchNorm: `<prefix>.weight`, `.bias`, `.running_mean`, `.running_var`. */
  readonly batchNorm: string;
  readonly epsilon: number;
}

/** Where the published weights are, and how to know them. */
export interface PretrainedSpec {
  /** torchvision's name of the weights, for example `IMAGENET1K_V1`. */
  readonly name: string;
  readonly url: string;
  /** Full SHA-256 where it is published; otherwise null and `sha256Prefix` is checked, as torchvision does. */
  readonly sha256: string | null;
  readonly sha256Prefix: string;
  readonly bytes: number | null;
}

/** From a decoded image to the network's input, as torchvision's transforms have it. */
export interface Preprocessing {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Side of the square the network sees, in pixels. */
  readonly inputSize: number;
  /** Evaluation: the shorter side is resized to this many pixels before the centre crop. */
  readonly resizeSize: number;
  readonly interpolation: 'bilinear';
  readonly antialias: true;
  /** RandomResizedCrop: range of the crop's area as a share of the image's. */
  readonly cropScale: readonly [number, number];
  /** RandomResizedCrop: range of the crop's width / height. */
  readonly cropRatio: readonly [number, number];
  readonly flipProbability: number;
}

/** A graph of K training steps a call; its outputs `<outputPrefix><name>` are the new state. */
export interface TrainingGraphSpec extends GraphSpec {
  readonly loop: 'Scan';
  readonly outputPrefix: string;
}

/**
 * `train`: SGD with momentum. `trainExtended`: also Nesterov momentum and clipped gradients. `trainHead`:
 * the same, for a frozen backbone.
 */
export type TrainingGraph = 'train' | 'trainExtended' | 'trainHead' | GpuTrainingGraph;

/** They train everything, with Nesterov momentum and clipped gradients; their state is packed. */
export type GpuTrainingGraph = 'trainCuda' | 'trainWebgpu';

/** Names of the vectors in which a graph for GPUs takes the state, all but the head. */
export interface PackedNames {
  /** Holds the backbone's parameters, in the manifest's order. */
  readonly backbone: string;
  /** Their momentum. */
  readonly momentum: string;
  /** The buffers, in the manifest's order. */
  readonly statistics: string;
}

export interface GpuGraphSpec extends GraphSpec {
  readonly outputPrefix: string;
  readonly packed: PackedNames;
}

/** Its outputs `<outputPrefix><name>` are the new buffers. */
export interface GradientGraphSpec extends GraphSpec {
  readonly outputPrefix: string;
}

/** Takes the gradient of NAME as `<gradientPrefix>NAME`. */
export interface UpdateGraphSpec extends GraphSpec {
  readonly outputPrefix: string;
  readonly gradientPrefix: string;
}

export interface Manifest {
  readonly formatVersion: 1;
  readonly arch: string;
  readonly preprocessing: Preprocessing;
  readonly graphs: {
    readonly train: TrainingGraphSpec;
    readonly trainExtended: TrainingGraphSpec;
    readonly trainHead: TrainingGraphSpec;
    readonly trainCuda: GpuGraphSpec & { readonly loop: 'Scan' };
    /** One step a call, its inputs without K. */
    readonly trainWebgpu: GpuGraphSpec & { readonly loop: 'none' };
    /** Hands a packed state through: reads it back from a GPU. */
    readonly packedState: GpuGraphSpec;
    /** Forward and backward pass of one batch; `gradients` [P] is all of them in one. */
    readonly gradients: GradientGraphSpec;
    /** The same for a frozen backbone: gradients of the head alone. */
    readonly gradientsHead: GradientGraphSpec;
    /** The optimizer's step. */
    readonly update: UpdateGraphSpec;
    /** The same with Nesterov momentum. */
    readonly updateExtended: UpdateGraphSpec;
    /** The same of the head alone. */
    readonly updateHead: UpdateGraphSpec;
    readonly evaluate: GraphSpec;
    readonly inference: GraphSpec & { readonly fold: readonly FoldSpec[] };
    readonly preprocessTrain: GraphSpec;
    readonly preprocessEvaluate: GraphSpec;
  };
  readonly parameters: readonly ParameterSpec[];
  readonly buffers: readonly BufferSpec[];
  /** int64 scalars of torchvision's state_dict that count training steps (`*.num_batches_tracked`). */
  readonly counters: readonly string[];
  readonly pretrained: PretrainedSpec | null;
  readonly provenance: Readonly<Record<string, string>>;
  readonly toolVersions: Readonly<Record<string, string>>;
}

/** An artifact folder, opened. */
export interface Artifacts {
  readonly dir: string;
  readonly manifest: Manifest;
  /** Absolute path of a graph. */
  graphPath(graph: keyof Manifest['graphs']): string;
  /** The build's own initial checkpoint (ignored by git; may not exist). */
  readonly initialCheckpoint: string;
}

/** The networks whose artifacts ship with the package. */
export const ARCHITECTURES = ['resnet18', 'resnet34', 'resnet50'] as const;
/** One of {@link ARCHITECTURES}. */
export type Arch = (typeof ARCHITECTURES)[number];

/** Folder of the artifacts that ship with the package for `arch` (default `resnet18`). */
export function bundledArtifacts(arch = 'resnet18'): string {
  return path.join(PACKAGE_ROOT, 'artifacts', arch);
}

/**
 * Opens an artifact folder and verifies every graph's SHA-256 against the manifest.
 *
 * @throws ArtifactError if the folder, the manifest or a graph is missing or differs.
 */
export async function openArtifacts(dir: string): Promise<Artifacts> {
  const manifestPath = path.join(dir, 'manifest.json');
  const text = await readFile(manifestPath, 'utf8').catch(() => {
    throw new ArtifactError(
      `expected an artifact manifest at ${manifestPath}, found none; build it with "npm run artifacts"`,
    );
  });
  let manifest: Manifest;
  try {
    manifest = JSON.parse(text) as Manifest;
  } catch (cause) {
    throw new ArtifactError(
      `expected JSON in ${manifestPath}, found something else; rebuild it with "npm run artifacts"`,
      { cause },
    );
  }
  const format = (manifest as { formatVersion?: unknown } | null)?.formatVersion;
  if (format !== 1) {
    throw new ArtifactError(
      `expected manifest format 1 in ${manifestPath}, found ${String(format)}; use artifacts and package of the same version`,
    );
  }
  const graphs: Partial<Manifest['graphs']> = manifest.graphs;
  const graphPath = (graph: keyof Manifest['graphs']): string => {
    const spec = graphs[graph];
    if (spec !== undefined) return path.join(dir, spec.file);
    throw new ArtifactError(
      `expected the ${graph} graph in ${manifestPath}, found none of that name; rebuild it with "npm run artifacts"`,
    );
  };
  await Promise.all(
    (Object.keys(manifest.graphs) as (keyof Manifest['graphs'])[]).map(async (graph) => {
      const file = graphPath(graph);
      const bytes = await readFile(file).catch(() => {
        throw new ArtifactError(
          `expected the ${graph} graph at ${file}, found none; rebuild it with "npm run artifacts"`,
        );
      });
      const found = createHash('sha256').update(bytes).digest('hex');
      if (found !== manifest.graphs[graph].sha256) {
        throw new ArtifactError(
          `expected SHA-256 ${manifest.graphs[graph].sha256} for ${file}, found ${found}; rebuild it with "npm run artifacts"`,
        );
      }
    }),
  );
  return {
    dir,
    manifest,
    graphPath,
    initialCheckpoint: path.join(dir, 'initial.safetensors'),
  };
}
