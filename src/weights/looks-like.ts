/**
 * Recognises the network of a weight file by its names and shapes, for messages: by comparison with the networks whose
 * manifests are at hand, or by its general structure.
 */

import type { StateEntry } from '../artifacts/state-layout.js';
import { counted } from '../common/format.js';
import { account } from './account.js';
import type { FoundTensor } from './contents.js';

type Found = ReadonlyMap<string, FoundTensor>;

/** A network to compare a file with. */
export interface KnownNetwork {
  readonly arch: string;
  readonly layout: readonly StateEntry[];
}

/** The network that a file looks like. */
export interface Likeness {
  /** Completes "this looks like". */
  readonly text: string;
  /** Name of the known network, or of the nearest one; null if the file is like none of them. */
  readonly arch: string | null;
  /**
   * `whole`: every tensor of the file is accounted for in that network. `renamed`: its tensors' shapes are in the file
   * under other names. `variant`: at least half of its tensors are. `other`: none of these.
   */
  readonly kind: 'whole' | 'renamed' | 'variant' | 'other';
}

/** A kind of file, and the patterns of which each must match some name. `@` is the start of a part of a name. */
interface Kind {
  readonly text: string;
  readonly patterns: readonly string[];
}

/** Kinds that may contain a whole classifier, so that they must be recognised before it. */
const COMPOUND: readonly Kind[] = [
  { text: 'a quantized network', patterns: ['zero_point$|_packed_params'] },
  { text: 'an adapter (LoRA) and not a network', patterns: ['lora_(?:A|B|up|down)\\b'] },
  { text: 'a diffusion model', patterns: ['@diffusion_model\\.|@time_embedding\\.linear_1\\.'] },
  {
    text: 'a network for images and text',
    patterns: ['@(?:visual|vision_model)\\.', '@logit_scale$'],
  },
  {
    text: 'a detection network',
    patterns: [
      '@(?:rpn|rpn_head|roi_heads?|bbox_head|class_embed|bbox_embed|query_embed)\\.|@head\\.classification_head\\.|@model\\.\\d+\\.(?:conv|cv\\d|m|dfl)\\.',
    ],
  },
  {
    text: 'a segmentation network',
    patterns: [
      '@(?:segmentation_head|decode_head|aux_classifier|low_classifier)\\.|@0\\.convs\\.|@double_conv\\.|@up_?conv\\d?\\.',
    ],
  },
  { text: 'a segmentation network', patterns: ['^backbone\\.', '^classifier\\.4\\.weight$'] },
  { text: 'an encoder with its decoder', patterns: ['@encoder\\.', '@decoder\\.(?!layers\\.)'] },
  { text: 'two encoders that were trained together', patterns: ['@encoder_q\\.', '@encoder_k\\.'] },
  { text: 'two networks, a student and its teacher', patterns: ['@student\\.', '@teacher\\.'] },
  {
    text: 'a self-supervised network with its projection head',
    patterns: ['@(?:projector|projection_head|predictor)\\.'],
  },
  {
    text: 'a network with the names of detectron2',
    patterns: ['@bottom_up\\.|@stem\\.conv1\\.norm\\.'],
  },
  {
    text: 'a language model',
    patterns: ['@(?:word_embeddings|wte|embed_tokens|token_embedding|tok_embeddings)\\.weight$'],
  },
];

/** Names that parts of a transformer have. */
const ATTENTION = '@(?:qkv|in_proj_weight|attn|attention|self_attn|self_attention)(?:\\.|$)';

/** Most names that are looked at, and most characters of each. */
const MAX_NAMES = 5000;
const MAX_LENGTH = 200;
/** Share of a network's tensors that make a file a variant of it. */
const VARIANT = 0.5;
/** Fewest tensors whose shapes alone tell a network. */
const MIN_SHAPES = 10;

/** Returns the network that a file looks like; null if it holds nothing that is like a network. */
export function looksLike(file: Found, known: readonly KnownNetwork[]): Likeness | null {
  const found = new Map([...file].slice(0, MAX_NAMES));
  const text = [...found.keys()].map((name) => name.slice(0, MAX_LENGTH)).join('\n');
  const compound = COMPOUND.find(({ patterns }) => patterns.every((one) => matches(one, text)));
  if (compound !== undefined) return { text: compound.text, arch: null, kind: 'other' };
  return among(found, known) ?? structureOf(found, text);
}

function matches(pattern: string, text: string): boolean {
  return new RegExp(pattern.replaceAll('@', '(?:^|\\.)'), 'm').test(text);
}

/** Compares a file with each known network: whether all of its tensors fit, how many of them do, their shapes alone. */
function among(found: Found, known: readonly KnownNetwork[]): Likeness | null {
  const compared = known.map(({ arch, layout }) => {
    const { used, missing, different, unknown } = account(found, layout);
    const isWhole = missing.length + different.length + unknown.length === 0;
    const fitting = layout.filter(({ name, role }) => role !== 'counter' && used.has(name)).length;
    return { arch, layout, isWhole, fitting, total: backboneOf(layout).length, unknown };
  });
  const whole = compared.find(({ isWhole }) => isWhole);
  if (whole !== undefined) return { text: whole.arch, arch: whole.arch, kind: 'whole' };
  const share = ({ fitting, total }: (typeof compared)[number]): number => fitting / total;
  const [nearest] = compared.sort((a, b) => share(b) - share(a) || b.total - a.total);
  if (nearest === undefined || share(nearest) < VARIANT) {
    const renamed = compared.find(({ layout }) => hasShapesOf(found, layout));
    if (renamed === undefined) return null;
    const { arch } = renamed;
    return { text: `${arch} under other names`, arch, kind: 'renamed' };
  }
  const { arch, fitting, total, unknown } = nearest;
  const fits =
    fitting === total ? `all of its ${total} tensors` : `${fitting} of its ${total} tensors`;
  const more = unknown.length === 0 ? '' : `, and ${unknown.length} more`;
  return { text: `a variant of ${arch} (${fits}${more})`, arch, kind: 'variant' };
}

/** Returns the tensors that a file must have for a network. */
function backboneOf(layout: readonly StateEntry[]): StateEntry[] {
  return layout.filter(({ role }) => role === 'backbone' || role === 'statistics');
}

/** Checks whether a file has tensors of just the shapes of a network, with at most a head's more. */
function hasShapesOf(found: Found, layout: readonly StateEntry[]): boolean {
  const expected = backboneOf(layout);
  if (expected.length < MIN_SHAPES) return false;
  const heads = layout.filter(({ role }) => role === 'head').length;
  const counts = new Map<string, number>();
  let left = 0;
  for (const { shape } of found.values()) {
    // Counters are scalars.
    if (shape === null || shape.length === 0) continue;
    left++;
    counts.set(shape.join(), (counts.get(shape.join()) ?? 0) + 1);
  }
  if (left < expected.length || left > expected.length + heads) return false;
  return expected.every(({ shape }) => {
    const count = counts.get(shape.join()) ?? 0;
    counts.set(shape.join(), count - 1);
    return count > 0;
  });
}

/** Describes a network that is like none of the known ones by the layers that its shapes tell. */
function structureOf(found: Found, text: string): Likeness | null {
  let convolutions = 0;
  let linear = 0;
  let norms = 0;
  for (const [name, { shape }] of found) {
    if (name.endsWith('running_mean')) norms++;
    else if (shape?.length === 4) convolutions++;
    else if (shape?.length === 2) linear++;
  }
  if (convolutions + linear < 2) return null;
  const layers = [
    ...(convolutions > 0 ? [counted(convolutions, 'convolution')] : []),
    ...(norms > 0 ? [counted(norms, 'BatchNorm layer')] : []),
    ...(linear > 0 ? [counted(linear, 'linear layer')] : []),
  ];
  const kind = matches(ATTENTION, text) ? 'a transformer' : 'a network';
  return { text: `${kind} of ${layers.join(', ')}`, arch: null, kind: 'other' };
}
