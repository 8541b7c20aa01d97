/**
 * How the work of a run is shared out: not at all, or among the ranks of an MPI job as PyTorch's
 * DistributedDataParallel does it. The trainer goes through the same steps either way.
 */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { TrainingGraph } from '../artifacts/manifest.js';
import { stepsPerExecution, trainingGraph, type GraphSettings } from '../session/training-graph.js';
import type { Evaluation } from '../train/validate.js';
import type { PhaseRecord, StartEvent } from '../common/events.js';
import { launchInfoFromEnv } from './launcher.js';
import type { MetricSums } from '../metrics/average-meter.js';
import type { ResumePoint } from '../checkpoint/resume-point.js';
import type { TrainingRun } from '../train/training-run.js';
import type { Shard } from '../data/sampler.js';
import type { OrtWorker } from '../session/ort-worker.js';
import { TrainSession } from '../session/train-session.js';
import type { State } from '../common/tensor.js';

/** Numbers that processes can add up. */
export type Summable = Float32Array | Float64Array | BigInt64Array;

/** The processes of a job. Its methods are collective: all ranks call the same ones, in the same order. */
export interface ProcessGroup {
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** True on rank 0, the only rank that prints and writes files. */
  readonly isMain: boolean;
  /** Name and version of the library that connects the ranks. */
  readonly backend: string;
  /** Whether the exit of this process ends the whole job. Set to false once the other ranks end by themselves. */
  abortOnExit: boolean;
  /** Returns the sums of `values` over the ranks, the same bits on each. Gives the buffer of `values` away. */
  allReduce<T extends Summable>(values: T): Promise<T>;
  /** Returns the bytes of rank 0. `bytes` is given away; it must have the same length on every rank. */
  broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Returns the values of all ranks, by rank. They are small, and JSON can hold them. */
  allGather<T>(value: T): Promise<T[]>;
  /** Waits for all ranks, without a time limit. */
  barrier(): Promise<void>;
}

/** The state to begin with, and where it comes from. */
export interface InitialState {
  readonly state: State;
  readonly source: string;
}

/** One process, or one rank among several. */
export interface Team {
  readonly ranks: number;
  /** It prints and writes. */
  readonly leads: boolean;
  /** For the data loaders. */
  readonly shard: { readonly shard?: Shard };
  /** For the start event. */
  readonly description: Pick<StartEvent, 'ranks'>;
  /** Runs the whole of it; an end that the others know of or share takes nobody down. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** The one that the leader finds. */
  resumePoint(
    find: () => Promise<ResumePoint | null>,
    artifacts: string | undefined,
  ): Promise<ResumePoint | null>;
  /** @throws DistributedError, on every rank, listing what is not the same on all. */
  agree(values: Readonly<Record<string, unknown>>): Promise<void>;
  /** One rank of each host goes first: what it leaves in the host's caches, the others need not do. */
  oncePerHost<T>(task: () => Promise<T>): Promise<T>;
  /** The state that the leader makes. */
  startingState(
    make: () => Promise<InitialState>,
    artifacts: Artifacts,
    classes: number,
  ): Promise<InitialState>;
  /** @param given 0 for as many as there are for this rank. */
  threads(given: number): number;
  openSession(
    runtime: OrtWorker,
    artifacts: Artifacts,
    classes: number,
    settings: GraphSettings,
  ): Promise<TrainSession>;
  /** @param open opens the run folder; `follow` is given the leader's. */
  openRun(open: () => Promise<TrainingRun>, follow: FollowRun): Promise<TrainingRun>;
  stepsPerCall(batchSize: number, graph: TrainingGraph): number;
  /** Aborts between two steps, on all ranks between the same two, when one is asked to stop. */
  signal(own: AbortSignal | undefined): AbortSignal | undefined;
  /** At the end of an epoch: every rank takes the leader's state, whose BatchNorm statistics are those that count. */
  shareState(session: TrainSession): Promise<void>;
  /** From the sums of this rank's batch to those of the whole step. */
  readonly reduce?: ((batch: MetricSums) => Promise<MetricSums>) | undefined;
  /** For the validation of a part; aborts it alone. */
  validationSignal(own: AbortSignal | undefined): AbortSignal | undefined;
  /** From the validation of this rank's part to that of all. */
  gather(own: Evaluation, images: number): Promise<Evaluation>;
  /** What was spent on others since the last call. */
  times(session: TrainSession): Pick<PhaseRecord, 'allReduceSeconds'>;
}

/** Takes the leader's run as it was opened, or taken up. */
export type FollowRun = (opened: {
  readonly dir: string;
  readonly best: TrainingRun['best'];
}) => TrainingRun;

/** A process that trains alone. */
export const ALONE: Team = {
  ranks: 1,
  leads: true,
  shard: {},
  description: {},
  during: (work) => work(),
  resumePoint: (find) => find(),
  agree: () => Promise.resolve(),
  oncePerHost: (task) => task(),
  startingState: (make) => make(),
  threads: (given) => given,
  openSession: (runtime, artifacts, classes, settings) =>
    TrainSession.create(runtime, artifacts, classes, trainingGraph(settings)),
  openRun: (open) => open(),
  stepsPerCall: stepsPerExecution,
  signal: (own) => own,
  shareState: () => Promise.resolve(),
  validationSignal: (own) => own,
  gather: (own) => Promise.resolve(own),
  times: () => ({}),
};

/** The ranks that an MPI launcher started with this process; without one, MPI is not even looked for. */
export async function openTeam(): Promise<Team> {
  const place = launchInfoFromEnv();
  if (place === null || place.size === 1) return ALONE;
  const { openRanks } = await import('./collectives.js');
  return openRanks(place);
}
