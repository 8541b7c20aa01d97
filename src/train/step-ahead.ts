/** Training steps one after the other, with the next batches prepared meanwhile. */

/**
 * Takes one step per chunk. While a step is computed, the next chunk is put together.
 *
 * The consumer's loop body runs between two steps only, so a checkpoint saved there never meets a step under way. It
 * sees every step that was computed before an error of the loader is thrown. If the step and the loader fail together,
 * the step's error is thrown. Leaving the loop ends the loader.
 */
export async function* stepAhead<Chunk, Results>(
  chunks: AsyncGenerator<Chunk, void, undefined>,
  step: (chunk: Chunk) => Promise<Results>,
): AsyncGenerator<{ readonly chunk: Chunk; readonly results: Results }, void, undefined> {
  try {
    let next = await chunks.next();
    while (!next.done) {
      const chunk = next.value;
      const running = step(chunk);
      const following = chunks.next();
      // If the loader fails, `await following` below throws. Until then the rejection must not count as unhandled.
      following.catch(() => undefined);
      yield { chunk, results: await running };
      next = await following;
    }
  } finally {
    await chunks.return(undefined);
  }
}
