/** The metadata of an exported model. */

import type { RunWeights } from '../checkpoint/load-run.js';
import { exifOf } from '../checkpoint/resume-point.js';
import { producer } from '../common/node/package-info.js';
import type { ResolvedExportOptions } from '../config/export-options.js';
import { TRAIN_OPTIONS } from '../config/train-options.js';
import { tableWith } from '../config/train-settings.js';

/** Keys of config.json that hold paths and threads of one machine, or that the metadata has elsewhere. */
const LEFT_OUT = [...Object.keys(tableWith(TRAIN_OPTIONS, 'local')), 'classes', 'arch'];

/** Returns the `metadata_props` that an export adds to those of every inference model; see docs/model-file.md. */
export function modelMetadata(
  { run, config }: RunWeights,
  options: Pick<ResolvedExportOptions, 'rawImages' | 'probabilities' | 'compression'>,
): Record<string, string> {
  const settings = Object.entries(config).filter(([name]) => !LEFT_OUT.includes(name));
  return {
    epoch: String(run.epoch),
    ...(run.best === null ? {} : { validation: JSON.stringify(run.best) }),
    exif: exifOf(run),
    input_format: options.rawImages ? 'uint8 HWC RGB' : 'float32 NCHW RGB normalised',
    output_format: options.probabilities ? 'probabilities' : 'logits',
    weights_format: options.compression ?? 'fp32',
    settings: JSON.stringify(Object.fromEntries(settings)),
    data_fingerprint: run.fingerprints.data,
    artifacts_fingerprint: run.fingerprints.artifacts,
    producer: producer(),
  };
}
