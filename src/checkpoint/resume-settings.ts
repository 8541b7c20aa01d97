/** Compares the settings and inputs of a resumed run with those it had, and refuses what would change its result. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import type { EarlierGraphs } from '../artifacts/manifest.js';
import { ConfigError } from '../common/errors.js';
import { packageInfo } from '../common/node/package-info.js';
import { holdsNothing } from '../config/run-dir.js';
import type { TrainOptions } from '../config/train-options.js';
import { SETTINGS, settingsWith, type SettingName } from '../config/train-settings.js';
import { Validator, type Naming } from '../config/validator.js';
import { settingsOf, type ResumePoint, type StoredSettings } from './resume-point.js';
import type { Fingerprints, TrainerState } from './trainer-state.js';

/** The settings that must not change. The others are free, or are compared in another way. */
const CHANGEABLE: readonly string[] = settingsWith('resume');
const FIXED = (Object.keys(SETTINGS) as SettingName[]).filter((name) => !CHANGEABLE.includes(name));
const GROWING = settingsWith('resume').filter((name) => SETTINGS[name].resume === 'may-grow');

/**
 * Returns the options of the run, replaced by those given now.
 *
 * @throws ConfigError with all settings that differ and would change the result.
 */
export function resumedOptions(
  point: ResumePoint,
  given: StoredSettings,
  naming: Naming,
): StoredSettings {
  const stored = settingsOf(point.run);
  const validator = new Validator(naming);
  const show = (value: unknown): string => JSON.stringify(value ?? null);
  const differences = FIXED.flatMap((option) => {
    // A checkpoint of an earlier version lacks settings that came later.
    const [then, now] = [stored[option] ?? SETTINGS[option].default, given[option]];
    if (now === undefined || now === then || isSameFile(option, now, then)) return [];
    return [`${validator.name(option)} was ${show(then)}, is ${show(now)}`];
  });
  for (const option of GROWING) {
    const [then, now] = [stored[option], given[option]];
    if (typeof then !== 'number' || typeof now !== 'number' || now >= then) continue;
    differences.push(`${validator.name(option)} was ${then}, is ${now} (it may only grow)`);
  }
  const [epochs, more] = [stored.epochs, given.epochs];
  const depends = stored.schedule === 'cosine' && more !== undefined && more !== epochs;
  if (depends && !(typeof epochs === 'number' && typeof more === 'number' && more < epochs)) {
    differences.push(
      `${validator.name('epochs')} was ${show(epochs)}, is ${show(more)} (a cosine schedule depends on it)`,
    );
  }
  if (given.arch !== undefined && given.arch !== point.run.arch) {
    const [then, now] = [show(point.run.arch), show(given.arch)];
    differences.push(`${validator.name('arch')} was ${then}, is ${now}`);
  }
  const { inputSize: side } = point.artifacts.manifest.preprocessing;
  if (given.inputSize !== undefined && given.inputSize !== side) {
    differences.push(`${validator.name('inputSize')} was ${side}, is ${show(given.inputSize)}`);
  }
  if (differences.length > 0) throw new ConfigError(differenceText(point, differences));
  checkOut(point, given.out, validator);
  const own = [
    ...Object.keys(SETTINGS),
    'data',
    'inputSize',
    'artifacts',
  ] as (keyof TrainOptions)[];
  const merged: Partial<Record<keyof TrainOptions, unknown>> = {};
  for (const option of own) if (stored[option] !== undefined) merged[option] = stored[option];
  for (const [option, value] of Object.entries(given) as [keyof TrainOptions, unknown][]) {
    // The artifacts of the checkpoint decide the network.
    if (value !== undefined && option !== 'arch') merged[option] = value;
  }
  return { ...merged, ...(point.runDir === null ? {} : { out: point.runDir }), resume: point.file };
}

function isSameFile(option: SettingName, now: unknown, then: unknown): boolean {
  return SETTINGS[option].kind === 'file' && typeof now === 'string' && path.resolve(now) === then;
}

function checkOut({ runDir }: ResumePoint, out: unknown, validator: Validator): void {
  if (typeof out !== 'string') return;
  if (runDir === null) {
    if (!existsSync(out) || holdsNothing(out)) return;
    throw validator.error('out', 'a new or empty folder', out, 'choose another name');
  }
  if (path.resolve(out) === path.resolve(runDir)) return;
  const expected = `the folder of the resumed run (${runDir})`;
  throw validator.error('out', expected, out, 'leave it out; to move a run, move its folder');
}

/** Inputs of a run: together with the settings they decide its result. */
export interface RunInputs {
  readonly classes: readonly string[];
  readonly fingerprints: Fingerprints;
  readonly provider: string;
  /** Graphs that the network had before. */
  readonly earlier: readonly EarlierGraphs[];
}

/**
 * Checks that a resumed run has the same inputs as before.
 *
 * @param dataChanges how the images differ; null if that is not known.
 * @returns remarks on differences with which the run can go on.
 * @throws ConfigError with all other differences.
 */
export function checkInputs(
  point: ResumePoint,
  { classes, fingerprints, provider, earlier }: RunInputs,
  dataChanges: readonly string[] | null = null,
): string[] {
  const { run } = point;
  const differences: string[] = [];
  if (run.classes.join('\0') !== classes.join('\0')) {
    differences.push(`classes were ${run.classes.join(', ')}, are ${classes.join(', ')}`);
  }
  if (run.fingerprints.data !== fingerprints.data) {
    const how = dataChanges?.join('; ') ?? '';
    const weighted = (settingsOf(run).classWeights ?? 'none') !== 'none';
    const unsure = dataChanges === null ? 'the images or the class weights' : 'the class weights';
    const what = weighted && how === '' ? unsure : 'the images';
    differences.push(`${what} are not the same${how === '' ? '' : ` (${how})`}`);
  }
  const graphs = compareGraphs(point.run, fingerprints, earlier);
  if (graphs.difference !== null) differences.push(graphs.difference);
  const then = (settingsOf(run) as { provider?: unknown }).provider;
  if (typeof then === 'string' && then !== provider) {
    differences.push(`the device was ${then}, is ${provider}`);
  }
  if (differences.length > 0) throw new ConfigError(differenceText(point, differences));
  return graphs.remarks;
}

interface GraphComparison {
  /** Reason to refuse; null if the run can go on. */
  readonly difference: string | null;
  readonly remarks: string[];
}

/** Compares a run's graphs with those of today. Rebuilt graphs that compute the same function serve as well. */
function compareGraphs(
  { arch, fingerprints: then }: TrainerState,
  now: Fingerprints,
  earlier: readonly EarlierGraphs[],
): GraphComparison {
  if (then.artifacts === now.artifacts) return { difference: null, remarks: [] };
  const listed = earlier.find(({ fingerprint }) => fingerprint === then.artifacts);
  const version = listed?.version ?? then.version;
  if (listed?.sameFunction === true) {
    const remark =
      `the graphs of ${arch} were rebuilt since this run was begun on those of version ${listed.version}; they compute ` +
      'the same function, so the run goes on, but the last digits may differ from those of a run that was never stopped';
    return { difference: null, remarks: [remark] };
  }
  const what = "the artifacts' graphs or preprocessing are not the same";
  if (version === undefined || (listed === undefined && version === now.version)) {
    return { difference: what, remarks: [] };
  }
  const how = `npm install ${packageInfo().name}@${version}`;
  return {
    difference: `${what}; version ${version}, on which the run was begun, can go on with it (${how})`,
    remarks: [],
  };
}

function differenceText({ file }: ResumePoint, differences: readonly string[]): string {
  return (
    `cannot resume ${file}: ${differences.join('; ')}; undo these changes, or start a new run from these weights with ` +
    `--weights ${file}`
  );
}
