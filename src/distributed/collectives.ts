/** The rank of an MPI job as a {@link Team}: PyTorch's DistributedDataParallel in its order of events. */

import { availableParallelism, cpus, hostname } from 'node:os';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { DdpTrainSession } from './ddp-session.js';
import type { FollowRun, InitialState, Team } from './process-group.js';
import { DistributedError, InterruptedError, WeightsError } from '../common/errors.js';
import type { Evaluation } from '../train/validate.js';
import type { PhaseRecord, StartEvent } from '../common/events.js';
import type { LaunchInfo } from './launcher.js';
import { AverageMeter, type MetricSums } from '../metrics/average-meter.js';
import { artifactsOf, type ResumePoint } from '../checkpoint/resume-point.js';
import type { TrainingRun } from '../train/training-run.js';
import type { Shard } from '../data/sampler.js';
import type { OrtWorker } from '../session/ort-worker.js';
import type { TrainSession } from '../session/train-session.js';
import { stateLayout, type StateEntry } from '../artifacts/state-layout.js';
import { elementCount, float32Tensor, type State, type Tensor } from '../common/tensor.js';
import { MpiProcessGroup } from './mpi-process-group.js';
import type { GraphSettings } from '../session/training-graph.js';

let opened: Promise<MpiProcessGroup> | null = null;

/** MPI can be started once in a process; all of its runs share it. */
export async function openRanks(launch: LaunchInfo): Promise<Team> {
  opened ??= MpiProcessGroup.open(launch);
  const group = await opened;
  return new Ranks(group, await group.allGather(hostname()));
}

export class Ranks implements Team {
  readonly ranks: number;
  readonly leads: boolean;
  readonly shard: { readonly shard: Shard };
  readonly description: Pick<StartEvent, 'ranks'>;
  /** Aborted on all ranks after the same step. */
  readonly #stop = new AbortController();
  #ownSignal: AbortSignal | undefined;
  #layout: readonly StateEntry[] = [];
  #reported = 0;

  /** @param hosts host name of each rank. */
  constructor(
    private readonly group: MpiProcessGroup,
    private readonly hosts: readonly string[],
  ) {
    const { rank, size, backend } = group;
    this.ranks = size;
    this.leads = rank === 0;
    this.shard = { shard: { rank, ranks: size } };
    this.description = { ranks: { size, hosts: new Set(hosts).size, library: backend } };
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.group.abortOnExit = true;
    try {
      const result = await work();
      this.group.abortOnExit = false;
      return result;
    } catch (error) {
      const agreed = error instanceof InterruptedError && error.runDir !== null;
      const shared = error instanceof DistributedError && error.everywhere;
      if (agreed || shared) this.group.abortOnExit = false;
      throw error;
    }
  }

  async resumePoint(
    find: () => Promise<ResumePoint | null>,
    artifacts: string | undefined,
  ): Promise<ResumePoint | null> {
    const own = this.leads ? await find() : null;
    const shared = await this.#share(
      own === null ? null : { file: own.file, run: own.run, runDir: own.runDir },
    );
    if (this.leads || shared === null) return own;
    return { ...shared, artifacts: await artifactsOf(shared.run, artifacts), state: new Map() };
  }

  async agree(values: Readonly<Record<string, unknown>>): Promise<void> {
    const all = await this.group.allGather(values);
    const text = (value: unknown): string => JSON.stringify(value ?? null);
    const keys = new Set(all.flatMap((one) => Object.keys(one)));
    const differences = [...keys].flatMap((key) => {
      const first = text(all[0]?.[key]);
      const rank = all.findIndex((one) => text(one[key]) !== first);
      if (rank < 0) return [];
      const where = `rank ${rank} (${this.hosts[rank] ?? ''})`;
      return [`${key}: ${short(first)} on rank 0, ${short(text(all[rank]?.[key]))} on ${where}`];
    });
    if (differences.length === 0) return;
    throw new DistributedError(
      `expected the same on all ${this.ranks} ranks, found ${differences.join('; ')}; start all ranks with the ` +
        'same command, on copies of the same files',
      undefined,
      true,
    );
  }

  async oncePerHost<T>(task: () => Promise<T>): Promise<T> {
    const goesFirst = this.hosts.indexOf(hostname()) === this.group.rank;
    const early = goesFirst ? { value: await task() } : null;
    await this.group.barrier();
    return early === null ? task() : early.value;
  }

  async startingState(
    make: () => Promise<InitialState>,
    artifacts: Artifacts,
    classes: number,
  ): Promise<InitialState> {
    this.#layout = stateLayout(artifacts.manifest, classes);
    const own = this.leads ? await make() : null;
    const source = await this.#share(own?.source ?? '');
    return { state: await this.#shareState(own?.state ?? null), source };
  }

  threads(given: number): number {
    if (given > 0) return given;
    const neighbours = this.hosts.filter((host) => host === hostname()).length;
    // A launcher may have bound this process to fewer processors.
    return Math.max(1, Math.min(availableParallelism(), Math.floor(cpus().length / neighbours)));
  }

  openSession(
    runtime: OrtWorker,
    artifacts: Artifacts,
    classes: number,
    settings: GraphSettings,
  ): Promise<TrainSession> {
    return DdpTrainSession.open(this.group, runtime, artifacts, classes, settings);
  }

  async openRun(open: () => Promise<TrainingRun>, follow: FollowRun): Promise<TrainingRun> {
    const own = this.leads ? await open() : null;
    const shared = await this.#share(own && { dir: own.folder.dir, best: own.best });
    if (own !== null) return own;
    if (shared === null) throw new Error('rank 0 has opened no run');
    return follow(shared);
  }

  /** Every step of a call would need its own all-reduce. */
  stepsPerCall(): number {
    return 1;
  }

  signal(own: AbortSignal | undefined): AbortSignal {
    this.#ownSignal = own;
    return this.#stop.signal;
  }

  readonly reduce = async (batch: MetricSums): Promise<MetricSums> => {
    const { images, lossSum, correct } = batch;
    const stop = this.#ownSignal?.aborted === true ? 1 : 0;
    const sums = await this.group.allReduce(Float64Array.of(images, lossSum, correct, stop));
    const [allImages = 0, allLoss = NaN, allCorrect = 0, stops = 0] = sums;
    if (stops > 0) this.#stop.abort(this.#ownSignal?.reason ?? 'a rank was asked to stop');
    return { images: allImages, lossSum: allLoss, correct: allCorrect };
  };

  async shareState(session: TrainSession): Promise<void> {
    const state = await this.#shareState(await session.getState());
    if (!this.leads) await session.setState(state);
  }

  validationSignal(): undefined {
    return undefined;
  }

  async gather(own: Evaluation, images: number): Promise<Evaluation> {
    const { classes, indices, labels, logits } = own.predictions;
    const sums = await this.reduce(own.meter.sums);
    if (sums.images !== images) {
      throw new DistributedError(
        `expected the ranks to have validated ${images} images together, got ${sums.images}; their data differ`,
      );
    }
    // Each row is one rank's and zero elsewhere: the sum puts them together.
    const allLogits = new Float32Array(images * classes);
    const allLabels = new Float64Array(images);
    indices.forEach((index, row) => {
      allLogits.set(logits.subarray(row * classes, (row + 1) * classes), index * classes);
      allLabels[index] = labels[row] ?? 0;
    });
    const predictions = {
      classes,
      indices: Uint32Array.from({ length: images }, (_, index) => index),
      labels: Int32Array.from(await this.group.allReduce(allLabels)),
      logits: await this.group.allReduce(allLogits),
    };
    this.#stop.signal.throwIfAborted();
    return { ...own, meter: new AverageMeter(sums), predictions };
  }

  times(session: TrainSession): Pick<PhaseRecord, 'allReduceSeconds'> {
    if (!(session instanceof DdpTrainSession)) return {};
    const allReduceSeconds = session.allReduceSeconds - this.#reported;
    this.#reported = session.allReduceSeconds;
    return { allReduceSeconds };
  }

  /** Rank 0's value, which may take it long to have. */
  async #share<T>(own: T): Promise<T> {
    await this.group.barrier();
    const json = new TextEncoder().encode(this.leads ? JSON.stringify(own) : '');
    const length = await this.group.allReduce(Float64Array.of(json.length));
    const bytes = new Uint8Array(length[0] ?? 0);
    bytes.set(json);
    return JSON.parse(new TextDecoder().decode(await this.group.broadcast(bytes))) as T;
  }

  /** Rank 0's state. @param own null on other ranks that have none yet. */
  async #shareState(own: State | null): Promise<State> {
    await this.group.barrier();
    return unpack(await this.group.broadcast(pack(own, this.#layout)), this.#layout);
  }
}

/** A value for a message: hashes and lists are long. */
function short(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 24)}…`;
}

const bytesOf = ({ dtype, shape }: StateEntry): number =>
  (elementCount(shape) ?? 0) * (dtype === 'int64' ? 8 : 4);

/** The tensors of a state one after the other; zeros where there is none. */
function pack(state: State | null, layout: readonly StateEntry[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(layout.reduce((sum, entry) => sum + bytesOf(entry), 0));
  let begin = 0;
  for (const entry of layout) {
    const data = state?.get(entry.name)?.data;
    if (data !== undefined) {
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), begin);
    } else if (state !== null) {
      throw new WeightsError(`expected the tensor ${entry.name} in the state, found none`);
    }
    begin += bytesOf(entry);
  }
  return bytes;
}

function unpack(bytes: Uint8Array<ArrayBuffer>, layout: readonly StateEntry[]): State {
  const state: State = new Map();
  let begin = 0;
  for (const entry of layout) {
    const { buffer } = bytes.slice(begin, begin + bytesOf(entry));
    const tensor: Tensor =
      entry.dtype === 'int64'
        ? { dtype: 'int64', shape: entry.shape, data: new BigInt64Array(buffer) }
        : float32Tensor(entry.shape, new Float32Array(buffer));
    state.set(entry.name, tensor);
    begin += bytesOf(entry);
  }
  return state;
}
