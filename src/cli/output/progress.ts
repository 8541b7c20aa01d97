/** Prints the progress of a training run: pure functions from events to text, and the object that shows them. */

import { isBetter } from '../../metrics/is-better.js';
import type {
  CheckedEvent,
  PhaseRecord,
  PreflightEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainResult,
} from '../../common/events.js';
import { formatBar, formatDuration, formatRate, formatShare } from '../../common/format.js';
import { visible } from '../../common/text.js';
import { TimeLeft } from './eta.js';

/** Stream that takes the text, such as `process.stdout`. */
export interface TextStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const PHASES = { train: 'train', val: 'val  ' } as const;

/** Returns the lines at the start of a run. */
function startLines(event: StartEvent): string[] {
  const { classes } = event;
  const names = classes.slice(0, 8).join(', ') + (classes.length > 8 ? ', …' : '');
  return [
    `Device   ${event.device} (${event.deviceReason})`,
    `Classes  ${classes.length}: ${names}`,
    `Images   ${event.trainImages} training, ${event.valImages} validation`,
    `Weights  ${event.weightsSource}`,
    ...(event.ranks === undefined ? [] : [ranksLine(event.ranks)]),
    `Run      ${event.runDir}`,
    ...(event.resumed === undefined ? [] : [resumedLine(event.resumed)]),
  ];
}

/** Returns the lines about the images that were checked. */
function checkedLines({ classes, known, skipped, exif }: CheckedEvent): string[] {
  const sum = (split: 'train' | 'val'): number =>
    classes.reduce((total, one) => total + one[split], 0);
  const images = sum('train') + sum('val') + skipped.length;
  const counts = classes
    .slice(0, 8)
    .map(({ name, train, val }) => `${name} ${train} + ${val}`)
    .join(', ');
  const before = known > 0 ? ` (${known} of them by an earlier run)` : '';
  return [
    `Checked  ${images} images${before}: ${counts}${classes.length > 8 ? ', …' : ''}`,
    ...skipped.map(({ path, reason }) => `Skipped  ${path}: ${reason}`),
    // Ignored orientations are a warning.
    ...(exif.use === 'apply' ? [`Turned   ${exif.images} images by their EXIF orientation`] : []),
  ];
}

function ranksLine({ size, hosts, library }: NonNullable<StartEvent['ranks']>): string {
  return `Ranks    ${size} on ${hosts} host${hosts === 1 ? '' : 's'} (${library})`;
}

function resumedLine({ epoch, batch, step }: NonNullable<StartEvent['resumed']>): string {
  const where = batch === 0 ? `epoch ${epoch + 1}` : `epoch ${epoch + 1} after batch ${batch}`;
  return `Resumed  ${where} (${step} steps done)`;
}

/**
 * One finished pass as a line.
 *
 * @param epochs epochs of the run, when known.
 * @param best whether it is the best validation pass so far.
 */
export function phaseLine(record: PhaseRecord, epochs: number | null, best = false): string {
  const speed = record.seconds > 0 ? record.images / record.seconds : 0;
  const waiting = record.seconds > 0 ? record.dataWaitSeconds / record.seconds : 0;
  const reducing = record.allReduceSeconds;
  const parts = [
    `Epoch ${record.epoch}${epochs === null ? '' : `/${epochs}`}`,
    PHASES[record.phase],
    `loss ${record.loss.toFixed(4)}`,
    `accuracy ${formatShare(record.accuracy)}`,
    `lr ${formatRate(record.lr)}`,
    `${speed.toFixed(1)} images/s`,
    `${formatShare(waiting)} waiting for data`,
    ...(reducing === undefined ? [] : [`${formatShare(reducing / record.seconds)} in all-reduce`]),
    formatDuration(record.seconds),
  ];
  if (best) parts.push('best so far');
  return parts.join('  ');
}

/**
 * The live line of a terminal, at most `columns - 1` characters: what does not fit is left out from
 * the end, the bar first.
 *
 * @param secondsLeft estimate for the rest of the run; null when there is none yet.
 */
export function stepLine(event: StepEvent, secondsLeft: number | null, columns: number): string {
  const head = `Epoch ${event.epoch}/${event.epochs} ${event.phase} `;
  const parts = [
    `${event.batch}/${event.batches}`,
    `loss ${event.loss.toFixed(4)}`,
    `accuracy ${formatShare(event.accuracy)}`,
    `${event.imagesPerSecond.toFixed(1)} images/s`,
  ];
  if (secondsLeft !== null) parts.push(`${formatDuration(secondsLeft)} left`);
  const text = parts.join('  ');
  const room = Math.min(30, columns - 2 - head.length - text.length);
  const bar = room >= 5 ? `${formatBar(event.batch / event.batches, room)} ` : '';
  return (head + bar + text).slice(0, Math.max(0, columns - 1));
}

/** Received bytes as `12.3 of 44.7 MB (28%)`. */
export function fetchText(receivedBytes: number, totalBytes: number | null): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  if (totalBytes === null || totalBytes <= 0) return `${megabytes(receivedBytes)} MB`;
  const percent = Math.floor((receivedBytes / totalBytes) * 100);
  return `${megabytes(receivedBytes)} of ${megabytes(totalBytes)} MB (${percent}%)`;
}

/** Returns the lines at the end of a run. */
function endLines(result: TrainResult): string[] {
  return [
    `Best validation accuracy ${formatShare(result.bestAccuracy)} ` +
      `(loss ${result.bestLoss.toFixed(4)}, epoch ${result.bestEpoch})`,
    `Best weights  ${result.checkpoint}`,
  ];
}

export interface ProgressOptions {
  /** Milliseconds on any clock that does not go back; default `performance.now`. */
  readonly now?: () => number;
  /** Environment; `NO_COLOR` (set and not empty) switches colours off. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Milliseconds between two drawings of the live line. */
const REDRAW = 100;

/**
 * Shows the events of a run: in a terminal with a live line, elsewhere as plain lines, one a pass,
 * without control codes.
 */
export class Progress {
  private readonly live: boolean;
  private readonly colour: boolean;
  private readonly now: () => number;
  private timeLeft: TimeLeft | null = null;
  private drawnAt = -Infinity;
  private drawn = false;
  private epochs: number | null = null;
  private best: { readonly accuracy: number; readonly loss: number } | null = null;
  private fetchQuarter = -1;

  constructor(
    private readonly output: TextStream,
    options: ProgressOptions = {},
  ) {
    const env = options.env ?? process.env;
    this.live = output.isTTY === true && env.TERM !== 'dumb';
    this.colour = this.live && (env.NO_COLOR ?? '') === '';
    this.now = options.now ?? (() => performance.now());
  }

  handle(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.timeLeft = new TimeLeft(this.now() / 1000, event.resumed);
        this.best = event.resumed?.best ?? null;
        this.print(...startLines(event));
        break;
      case 'fetch':
        this.fetch(event.receivedBytes, event.totalBytes);
        break;
      case 'step': {
        this.epochs = event.epochs;
        const left = this.timeLeft?.update(event, this.now() / 1000) ?? null;
        if (this.live) this.draw(stepLine(event, left, this.output.columns || 80));
        break;
      }
      case 'phase':
        this.phase(event.record);
        break;
      case 'preflight':
        this.preflight(event);
        break;
      case 'checked':
        this.print(...checkedLines(event));
        break;
      case 'warning':
        this.print(`warning: ${event.message}`);
        break;
      case 'end':
        if (event.before === true) {
          this.print(`The run is finished already: ${event.result.runDir}; more --epochs go on`);
        }
        this.print('', ...endLines(event.result));
        break;
    }
  }

  /** Removes the live line, so that a message of another kind can follow. */
  clear(): void {
    if (this.drawn) this.output.write('\r\u001B[K');
    this.drawn = false;
    this.drawnAt = -Infinity;
  }

  private print(...lines: string[]): void {
    this.clear();
    this.output.write(lines.map((line) => `${visible(line)}\n`).join(''));
  }

  private printGreen(line: string): void {
    this.clear();
    this.output.write(`\u001B[32m${visible(line)}\u001B[39m\n`);
  }

  private draw(line: string): void {
    const now = this.now();
    if (now - this.drawnAt < REDRAW) return;
    this.output.write(`\r${line}\u001B[K`);
    this.drawn = true;
    this.drawnAt = now;
  }

  private fetch(received: number, total: number | null): void {
    const text = `Fetching weights  ${fetchText(received, total)}`;
    if (this.live) {
      this.draw(text);
      return;
    }
    // Print at the start and at each quarter if the stream keeps every line.
    const quarter = total === null || total <= 0 ? 0 : Math.floor((4 * received) / total);
    if (quarter > this.fetchQuarter) this.print(text);
    this.fetchQuarter = Math.max(quarter, this.fetchQuarter);
  }

  private preflight({ done, total }: PreflightEvent): void {
    if (!this.live) return;
    const share = total === 0 ? 1 : done / total;
    this.draw(`Checking images ${formatBar(share, 20)} ${done}/${total}`);
  }

  private phase(record: PhaseRecord): void {
    const better = record.phase === 'val' && (this.best === null || isBetter(record, this.best));
    if (better) this.best = record;
    const line = phaseLine(record, this.epochs, better);
    if (this.colour && better) this.printGreen(line);
    else this.print(line);
  }
}
