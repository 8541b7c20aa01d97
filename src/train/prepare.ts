/** Opens all that the first step needs: device, images, weights, session and run folder, in this order. */

import { openNetwork } from '../artifacts/node/bundled-artifacts.js';
import { bundledManifests } from '../artifacts/node/bundled-manifests.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { PretrainedSpec } from '../artifacts/manifest.js';
import { stateLayout } from '../artifacts/state-layout.js';
import { checkSameRun, writeDataFiles } from '../checkpoint/data-manifest.js';
import { RunFolder } from '../checkpoint/run-folder.js';
import { InterruptedError } from '../common/errors.js';
import { OpenResources } from '../common/open-resources.js';
import type { State } from '../common/tensor.js';
import { DataLoader } from '../data/data-loader.js';
import type { RunData } from '../data/open-datasets.js';
import { openDevice, type OpenDevice } from '../devices/choose-device.js';
import {
  assertSameOnAllRanks,
  broadcastJson,
  broadcastState,
  localMainFirst,
} from '../distributed/collectives.js';
import { DdpTrainSession } from '../distributed/ddp-session.js';
import { threadsPerRank } from '../distributed/hosts.js';
import { SharedStop } from '../distributed/shared-stop.js';
import { ImageCache } from '../images/workers/image-cache.js';
import { LoaderPool } from '../images/workers/worker-pool.js';
import type { RunReport } from '../report/run-report.js';
import { TrainSession } from '../session/train-session.js';
import { graphForProvider, stepsPerExecution, trainingGraph } from '../session/training-graph.js';
import { findPublished } from '../weights/published/find-published.js';
import { initialState } from '../weights/initial-weights.js';
import { identify, openRun, resumedFrom, type IdentityWithConfig } from './open-run.js';
import { warner, type RunSetup } from './run-setup.js';
import type { Training } from './training.js';
import type { TrainingRun } from './training-run.js';

/** A training that is ready for its first step, with what must be closed after its last. */
export interface PreparedTraining extends Training {
  /** Null on ranks other than 0. */
  readonly report: RunReport | null;
  /** Ends the threads of the data loader and of ONNX Runtime. */
  close(): Promise<void>;
}

/**
 * Opens all that the loop needs and reports the start of the run.
 *
 * @throws InterruptedError if it was asked to stop before the run folder was there.
 */
export async function prepare(setup: RunSetup): Promise<PreparedTraining> {
  const { point, config, emit, platform } = setup;
  const artifacts = point?.artifacts ?? (await openNetwork(config, platform));
  const threads = new OpenResources();
  let run: TrainingRun | null = null;
  try {
    const inputs = await openInputs(setup, artifacts, threads);
    const { session, state, trainLoader, valLoader } = inputs;
    config.signal?.throwIfAborted();
    const loaded = session.setState(state);
    // Awaited below. If something fails before that, report that error and not this one.
    loaded.catch(() => undefined);
    run = await openRun(setup, inputs);
    await loaded;
    // The runtime has the state now, and a checkpoint too: keep no third copy of it through the run.
    state.clear();
    if (setup.group.isMain) await writeDataFiles(new RunFolder(run.dir), inputs.data);
    reportStart(setup, inputs, run);
    const reached = liveResults(run);
    const report = await openReport(setup, inputs, reached);
    return {
      group: setup.group,
      stop: inputs.stop,
      config,
      artifacts,
      runtime: inputs.device.runtime,
      session,
      stepsPerExecution: inputs.stepsPerExecution,
      trainLoader,
      valLoader,
      classes: inputs.data.classes,
      classWeights: inputs.data.classWeights,
      run,
      emit,
      report,
      onEpochEnd: async (predictions) => {
        await report?.epoch(reached, predictions);
      },
      close: () => threads.close(),
    };
  } catch (error) {
    await threads.close();
    if (run !== null) throw error;
    throw config.signal?.aborted === true ? new InterruptedError(null, 0) : error;
  }
}

/** Inputs of the run, opened before its run folder. */
interface Inputs {
  readonly artifacts: Artifacts;
  readonly pool: LoaderPool;
  readonly device: OpenDevice;
  readonly data: RunData;
  readonly identity: IdentityWithConfig;
  readonly stop: SharedStop;
  readonly session: TrainSession;
  readonly stepsPerExecution: number;
  /** The state that the run begins with, and where it comes from. */
  readonly state: State;
  readonly source: string;
  readonly trainLoader: DataLoader;
  readonly valLoader: DataLoader;
}

async function openInputs(
  setup: RunSetup,
  artifacts: Artifacts,
  threads: OpenResources,
): Promise<Inputs> {
  const { group, hosts, config, point, emit } = setup;
  const { images, ort } = setup.platform;
  const { workers, exif } = config;
  const pool = threads.add(new LoaderPool({ artifacts, images, workers, exif }));
  // Open the device first, so that a missing one is reported before images and weights are loaded.
  const cpuThreads = threadsPerRank(config.threads, group.rank, hosts);
  const device = await openDevice(config.device, cpuThreads, artifacts, ort);
  const runtime = threads.add(device.runtime);
  const { provider } = runtime;
  const graph = trainingGraph(config);
  if (group.size === 1) TrainSession.prepare(runtime, artifacts, graph);
  // Loading sharp is slow; ONNX Runtime optimises the graph meanwhile.
  const { openRunData } = await import('../data/resumed-data.js');
  const then = point?.run.fingerprints.data ?? null;
  const data = await localMainFirst(group, hosts, () => openRunData(config, then, pool, emit));
  const identity = identify(setup, artifacts, data, provider);
  const { classes } = data;
  await assertSameOnAllRanks(group, { classes, provider, ...identity.fingerprints }, hosts);
  if (point !== null && group.isMain) {
    const { earlier } = artifacts.manifest;
    const remarks = await checkSameRun(point, { ...identity, provider, earlier }, data);
    for (const remark of remarks) warner(emit)(remark);
  }
  // Read while ONNX Runtime still optimises the graph.
  const { state, source } = await startingState(setup, artifacts, classes.length);
  const session = await openSession(setup, artifacts, classes.length, device);
  const { trainLoader, valLoader } = openLoaders(setup, artifacts, pool, data);
  const stop = new SharedStop(group, config.signal);
  const opened = { artifacts, pool, device, data, identity, stop, session, state, source };
  // On several ranks every step needs an all-reduce of its own.
  const steps = stepsPerExecution(config.batchSize, graphForProvider(provider, graph));
  return {
    ...opened,
    stepsPerExecution: group.size === 1 ? steps : 1,
    trainLoader,
    valLoader,
  };
}

/** Returns rank 0's starting state and, for people, where it comes from. */
async function startingState(
  setup: RunSetup,
  artifacts: Artifacts,
  classes: number,
): Promise<{ state: State; source: string }> {
  const { group, point } = setup;
  const found = point === null ? null : { state: point.state, source: point.file };
  const own = group.isMain ? (found ?? (await newState(setup, artifacts, classes))) : null;
  const source = await broadcastJson(group, own?.source ?? '');
  const layout = stateLayout(artifacts.manifest, classes);
  return { state: await broadcastState(group, own?.state ?? null, layout), source };
}

/** Returns the state that a new run begins with, and reports how the weight file was understood. */
export async function newState(
  { config, emit, platform }: Pick<RunSetup, 'config' | 'emit' | 'platform'>,
  artifacts: Artifacts,
  classes: number,
): Promise<{ state: State; source: string }> {
  const { weights, seed, signal } = config;
  const fetching = {
    ...(signal === undefined ? {} : { signal }),
    onProgress: (receivedBytes: number, totalBytes: number | null) => {
      emit({ type: 'fetch', receivedBytes, totalBytes });
    },
  };
  const options = {
    ...{ weights, classes, seed },
    findPublished: (spec: PretrainedSpec, arch: string) =>
      findPublished(spec, { ...fetching, arch, files: platform.files }),
    knownManifests: bundledManifests,
  };
  const { remarks, ...initial } = await initialState(artifacts, options, platform);
  for (const remark of remarks) warner(emit)(remark);
  return initial;
}

function openSession(
  { group, config }: RunSetup,
  artifacts: Artifacts,
  classes: number,
  { runtime }: OpenDevice,
): Promise<TrainSession> {
  return group.size === 1
    ? TrainSession.create(runtime, artifacts, classes, trainingGraph(config))
    : DdpTrainSession.open({ group, runtime, artifacts, classes, settings: config });
}

function openLoaders(
  { group, config }: RunSetup,
  artifacts: Artifacts,
  pool: LoaderPool,
  data: RunData,
): { trainLoader: DataLoader; valLoader: DataLoader } {
  const { batchSize, seed } = config;
  const cache = config.cache === 'ram' ? new ImageCache(config.cacheMegabytes * 1e6) : undefined;
  const shard = group.size === 1 ? {} : { shard: { rank: group.rank, ranks: group.size } };
  const shared = { artifacts, pool, batchSize, seed, cache, ...shard };
  return {
    trainLoader: new DataLoader({ ...shared, dataset: data.train, mode: 'train' }),
    valLoader: new DataLoader({ ...shared, dataset: data.val, mode: 'evaluate' }),
  };
}

function reportStart(
  { group, hosts, point, emit }: RunSetup,
  inputs: Inputs,
  run: TrainingRun,
): void {
  const { device, data, source } = inputs;
  const ranks = { size: group.size, hosts: new Set(hosts).size, library: group.backend };
  emit({
    type: 'start',
    device: device.runtime.provider,
    deviceReason: device.reason,
    classes: data.classes,
    trainImages: data.train.length,
    valImages: data.val.length,
    weightsSource: source,
    ...(group.size === 1 ? {} : { ranks }),
    runDir: run.dir,
    ...resumedFrom(point, run),
  });
}

/** Results of a run as the report reads them. */
interface RunResults {
  readonly dir: string;
  readonly records: TrainingRun['history'];
  readonly best: TrainingRun['best'];
}

/** Returns the results as they are whenever the report reads them, so that its last page has the last record. */
function liveResults(run: TrainingRun): RunResults {
  return {
    dir: run.dir,
    get records() {
      return run.history;
    },
    get best() {
      return run.best;
    },
  };
}

/** Opens report.html on rank 0. */
async function openReport(
  { group, platform, config, emit }: RunSetup,
  { artifacts, pool, data, device, identity }: Inputs,
  reached: RunResults,
): Promise<RunReport | null> {
  const { RunReport } = await import('../report/run-report.js');
  if (!group.isMain) return null;
  const { epochs, seed } = config;
  const { provider } = device.runtime;
  return new RunReport(
    {
      ...data,
      ...{
        dir: reached.dir,
        artifacts,
        files: platform.files,
        pool,
        device: provider,
        epochs,
        seed,
      },
      settings: identity.config,
      warn: warner(emit),
    },
    reached,
  );
}
