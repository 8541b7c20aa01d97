/** The forms that an exported model can have. A new form is a line here and an option in config/export-options.ts. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { ResolvedExportOptions } from '../config/export-options.js';
import { compressWeights } from '../onnx/compress-weights.js';
import { withProbabilities, withRawImages } from '../onnx/model-edits.js';
import type { ModelProto } from '../onnx/onnx_pb.js';

/** Options that choose the form. */
type FormOptions = Pick<ResolvedExportOptions, 'compression' | 'rawImages' | 'probabilities'>;

/**
 * Changes a model, whose input is `input` and whose output is `logits`, into the form that the options ask for.
 *
 * The weights come first, so that compression meets the network alone and not the preprocessing that `rawImages` adds.
 */
export async function applyForms(
  model: ModelProto,
  { compression, rawImages, probabilities }: FormOptions,
  artifacts: Artifacts,
): Promise<void> {
  if (compression !== undefined) compressWeights(model, compression);
  if (rawImages) await withRawImages(model, artifacts);
  if (probabilities) withProbabilities(model);
}
