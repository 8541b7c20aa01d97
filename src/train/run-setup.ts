/** Which run is trained: its settings, and the checkpoint it goes on from. */

import { openResumePoint, openRunArtifacts, type ResumePoint } from '../checkpoint/resume-point.js';
import { resumedOptions } from '../checkpoint/resume-settings.js';
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
  readonly emit: (event: TrainEvent) => void;
}

/** Returns a function that reports warnings as events. */
export function warner(emit: RunSetup['emit']): (message: string) => void {
  return (message) => {
    emit({ type: 'warning', message });
  };
}

/** Finds the run to resume, if there is one, and resolves the settings. They are the same on all ranks afterwards. */
export async function setUp(
  group: ProcessGroup,
  options: TrainOptions,
  naming: Naming,
  platform: Platform,
): Promise<RunSetup> {
  const emit = (group.isMain ? options.onEvent : undefined) ?? (() => undefined);
  const hosts = await gatherHosts(group);
  const point = await findResumePoint(group, options, platform, warner(emit));
  const config = resolveTrainOptions(
    point === null ? options : resumedOptions(point, options, naming),
    naming,
  );
  await assertSameOnAllRanks(group, sharedSettings(config), hosts);
  return { group, hosts, platform, config, point, emit };
}

/** Returns the checkpoint that rank 0 finds; the other ranks take its state over later. Null for a new run. */
async function findResumePoint(
  group: ProcessGroup,
  { resume, artifacts }: TrainOptions,
  platform: Platform,
  warn: (message: string) => void,
): Promise<ResumePoint | null> {
  const search = group.isMain && resume !== undefined;
  const own = search ? await openResumePoint(resume, artifacts, warn, platform) : null;
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
