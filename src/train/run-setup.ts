/** Which run is trained: its settings, and the checkpoint it goes on from. */

import {
  findResumePlace,
  hasCheckpoints,
  openResumePoint,
  openRunArtifacts,
  type ResumePlace,
  type ResumePoint,
} from '../checkpoint/resume-point.js';
import { resumedOptions } from '../checkpoint/resume-settings.js';
import { RunLock } from '../checkpoint/run-lock.js';
import type { TrainEvent } from '../common/events.js';
import {
  resolveTrainOptions,
  type ResolvedOptions,
  type TrainOptions,
} from '../config/train-options.js';
import { SETTINGS, settingsWith } from '../config/train-settings.js';
import type { Naming } from '../config/validator.js';
import { assertSameOnAllRanks, broadcastJson } from '../distributed/collectives.js';
import { gatherHosts } from '../distributed/hosts.js';
import type { ProcessGroup } from '../distributed/process-group.js';
import type { Platform } from '../platform/platform.js';

/** A run before it is opened. */
export interface RunSetup {
  readonly group: ProcessGroup;
  /** Host name of each rank. */
  readonly hosts: readonly string[];
  readonly platform: Platform;
  readonly config: ResolvedOptions;
  /** Checkpoint that the run goes on from; null for a new run. */
  readonly point: ResumePoint | null;
  /** Ownership of the run folder; null on ranks other than 0. */
  readonly lock: RunLock | null;
  readonly emit: (event: TrainEvent) => void;
}

/** Returns a function that reports warnings as events. */
export function warner(emit: RunSetup['emit']): (message: string) => void {
  return (message) => {
    emit({ type: 'warning', message });
  };
}

/**
 * Finds the run to resume, if there is one, and resolves the settings. They are the same on all ranks afterwards. The
 * run folder belongs to rank 0 then, until its lock is released.
 */
export async function setUp(
  group: ProcessGroup,
  options: TrainOptions,
  naming: Naming,
  platform: Platform,
): Promise<RunSetup> {
  const emit = (group.isMain ? options.onEvent : undefined) ?? (() => undefined);
  const hosts = await gatherHosts(group);
  const search = group.isMain && options.resume !== undefined;
  const place = search ? findResumePlace(options.resume) : null;
  // Before the checkpoint is read: a run under way would replace it meanwhile.
  let lock = await takeRun(place);
  try {
    const point = await findResumePoint(group, options, { place, platform, warn: warner(emit) });
    const merged = point === null ? options : resumedOptions(point, options, naming);
    const config = resolveTrainOptions(merged, naming);
    await assertSameOnAllRanks(group, sharedSettings(config), hosts);
    if (!group.isMain) return { group, hosts, platform, config, point, lock, emit };
    // Before the check of the images, which takes long: another run must not choose the same folder.
    lock ??= await (merged.out === undefined ? RunLock.next() : RunLock.make(config.out));
    if (lock.remark !== null) warner(emit)(lock.remark);
    const own = { ...config, out: lock.dir };
    return { group, hosts, platform, config: own, point, lock, emit };
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

/** Takes the folder of the run to resume. Returns null for a new run, and for a folder without a checkpoint. */
async function takeRun(place: ResumePlace | null): Promise<RunLock | null> {
  if (place?.runDir == null || !hasCheckpoints(place)) return null;
  return RunLock.take(place.runDir);
}

interface ResumeHelp {
  /** Place to resume from; null for a new run, and on ranks other than 0. */
  readonly place: ResumePlace | null;
  readonly platform: Platform;
  readonly warn: (message: string) => void;
}

/** Returns the checkpoint that rank 0 finds; the other ranks take its state over later. Null for a new run. */
async function findResumePoint(
  group: ProcessGroup,
  { artifacts }: TrainOptions,
  { place, platform, warn }: ResumeHelp,
): Promise<ResumePoint | null> {
  const own = place === null ? null : await openResumePoint(place, artifacts, warn, platform);
  const found = await broadcastJson(
    group,
    own && { file: own.file, run: own.run, runDir: own.runDir },
  );
  if (group.isMain || found === null) return own;
  const opened = await openRunArtifacts(found.run, artifacts, platform);
  return { ...found, artifacts: opened, state: new Map() };
}

/** Returns the settings that must be the same on every rank. */
function sharedSettings(config: ResolvedOptions): Record<string, unknown> {
  const perRank: readonly string[] = settingsWith('perRank');
  const names = Object.keys(SETTINGS).filter((name) => !perRank.includes(name));
  return Object.fromEntries(names.map((name) => [name, config[name as keyof ResolvedOptions]]));
}
