/** The loop: trains, validates and saves, epoch by epoch. */

import { synchronizeState } from '../distributed/collectives.js';
import { trainEpoch } from './train-epoch.js';
import { phaseRecord, type Training } from './training.js';
import { gatherEvaluation, validate } from './validate.js';

/** Trains, validates and saves until the epochs are done or the result stops improving. */
export async function fit(t: Training): Promise<void> {
  const { run, session, classes } = t;
  while (!run.isDone(t.config)) {
    const trained = phaseRecord(t, 'train', await trainEpoch(t));
    await run.log(trained);
    t.emit({ type: 'phase', record: trained });

    // Not needed before the first step, and slow to load.
    const { buildInferenceModel } = await import('../onnx/inference-model.js');
    // Rank 0's BatchNorm statistics count, as in PyTorch's DDP.
    await synchronizeState(t.group, session);
    // Read the weights now and the full state later: holding both while the model is built would raise peak memory.
    const model = await buildInferenceModel(t.artifacts, await session.getWeights(), { classes });
    const evaluation = await gatherEvaluation(t, await validate(t, model));

    const validated = phaseRecord(t, 'val', evaluation);
    await run.completeEpoch(await session.getState(), validated);
    await t.onEpochEnd(evaluation.predictions);
    t.emit({ type: 'phase', record: validated });
  }
}
