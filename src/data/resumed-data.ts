/** Opens the data of a run that is resumed, which an earlier version may have begun. */

import path from 'node:path';
import type { TrainEvent } from '../common/events.js';
import { isFolder } from '../common/node/paths.js';
import type { LoaderPool } from '../images/workers/worker-pool.js';
import { openData, type DataOptions, type RunData } from './open-datasets.js';
import type { DataLayout } from './folders/split-folders.js';
import { EARLIER_RULES } from './folders/walk-rules.js';

type Emit = (event: TrainEvent) => void;

/**
 * Opens the data sets of a run, as {@link openData} does. If they are not those of the run that is resumed, tries the
 * rules of versions up to 0.2.0, so that a run of theirs goes on with its own images.
 *
 * @param fingerprint that of the resumed run's data; null for a new run.
 * @throws the errors of {@link openData}.
 */
export async function openRunData(
  options: DataOptions,
  fingerprint: string | null,
  pool: LoaderPool,
  emit: Emit,
): Promise<RunData> {
  if (fingerprint === null) return openData(options, pool, emit);
  const now = holdEvents(emit);
  const opened = await openData(options, pool, now.emit).then(
    (data) => ({ data }),
    (error: unknown) => ({ error }),
  );
  const isSame = 'data' in opened && opened.data.fingerprint === fingerprint;
  if (!isSame && options.data !== undefined) {
    const then = holdEvents(emit);
    const rules = { walk: EARLIER_RULES, layout: earlierLayout };
    // Whatever the earlier rules refuse, the present ones have the word.
    const earlier = await openData({ ...options, rules }, pool, then.emit).catch(() => null);
    if (earlier?.fingerprint === fingerprint) {
      then.release();
      emit({ type: 'warning', message: goesOn(options.data, earlier) });
      return earlier;
    }
  }
  now.release();
  if ('error' in opened) throw opened.error;
  return opened.data;
}

function goesOn(data: string, { train, val }: RunData): string {
  return (
    `${data}: the run goes on with the images that the version that began it took ` +
    `(${train.length} training, ${val.length} validation); a new run would take others`
  );
}

/** Returns the layout that versions up to 0.2.0 saw: split folders are those called `train` and `val`. */
function earlierLayout(data: string): DataLayout {
  const [train, val] = [path.join(data, 'train'), path.join(data, 'val')];
  const isSplit = isFolder(train) || isFolder(val);
  return {
    train: { dir: isSplit ? train : data, except: [] },
    val: isFolder(val) ? val : null,
    test: null,
    isSplit,
    leftOut: [],
  };
}

/** Holds events back until they are released, all but those of progress. */
function holdEvents(emit: Emit): { readonly emit: Emit; readonly release: () => void } {
  const held: TrainEvent[] = [];
  return {
    emit: (event) => {
      if (event.type === 'preflight') emit(event);
      else held.push(event);
    },
    release: () => {
      held.forEach(emit);
    },
  };
}
