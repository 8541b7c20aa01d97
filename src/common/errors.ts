/**
 * Typed errors. The library throws them; only the CLI prints them and sets the exit code.
 * A message says what was expected, what was found and what to do about it.
 */

import { listSome } from './format.js';
import { shellWord } from './text.js';

/**
 * Base of every error that the user can mend. The command line shows it as one line, without a stack trace.
 *
 * @example
 * try {
 *   await train({ data: 'images' });
 * } catch (error) {
 *   if (!(error instanceof UserError)) throw error;
 *   console.error(error.message);
 * }
 */
export class UserError extends Error {
  override readonly name: string = 'UserError';
  /** Exit code of the command line: 2 for a wrong call, 1 for a failure at run time. */
  readonly exitCode: number = 1;
}

/** A flag, option or configuration value is not accepted. Exit code 2. */
export class ConfigError extends UserError {
  override readonly name = 'ConfigError';
  override readonly exitCode = 2;
}

/** The data set, or an image of it, is not as expected. */
export class DatasetError extends UserError {
  override readonly name: string = 'DatasetError';
}

/** An image file that cannot be used, and why. */
export interface BadImage {
  readonly path: string;
  readonly reason: string;
}

/**
 * Image files of the data set are broken.
 *
 * @example
 * if (error instanceof BadImagesError) {
 *   for (const { path, reason } of error.images) console.error(path, reason);
 * }
 */
export class BadImagesError extends DatasetError {
  /** @param images all broken images, at least one. */
  constructor(readonly images: readonly BadImage[]) {
    const shown = listSome(
      images.map(({ path, reason }) => `${path} (${reason})`),
      3,
    );
    super(
      `expected readable images, found ${images.length} that are not: ${shown}; repair, ` +
        'convert or remove them, or leave them out with --on-bad-image skip',
    );
  }
}

/** A weight or checkpoint file is missing or damaged, or belongs to another network. */
export class WeightsError extends UserError {
  override readonly name = 'WeightsError';
}

/** The artifact folder is missing, incomplete or does not match its manifest. */
export class ArtifactError extends UserError {
  override readonly name = 'ArtifactError';
}

/** The requested device cannot be used on this machine. */
export class DeviceError extends UserError {
  override readonly name = 'DeviceError';
}

/** Training cannot go on, for example because the loss is no longer finite. */
export class TrainingError extends UserError {
  override readonly name = 'TrainingError';
}

/** The ranks of an MPI job do not fit together, or cannot reach each other. */
export class DistributedError extends UserError {
  override readonly name = 'DistributedError';

  /** @param everywhere whether every rank throws this error, so that only one needs to print it. */
  constructor(
    message: string,
    options?: ErrorOptions,
    readonly everywhere = false,
  ) {
    super(message, options);
  }
}

/**
 * The run was asked to stop, and has stopped. Its progress is saved.
 *
 * @example
 * const stop = new AbortController();
 * await train({ data: 'images', signal: stop.signal }).catch((error: unknown) => {
 *   if (!(error instanceof InterruptedError)) throw error;
 *   if (error.runDir !== null) return train({ resume: error.runDir });
 * });
 */
export class InterruptedError extends UserError {
  override readonly name = 'InterruptedError';

  /**
   * @param runDir the run to resume; null if it was stopped before there was anything to save.
   * @param step training steps completed.
   */
  constructor(
    readonly runDir: string | null,
    readonly step: number,
  ) {
    super(
      runDir === null
        ? 'stopped before the first step, as asked; nothing was written'
        : `stopped after step ${step}, as asked; resume with --resume ${shellWord(runDir)}`,
    );
  }
}
