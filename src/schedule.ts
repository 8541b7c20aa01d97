/** Learning-rate schedules, as functions of the epoch: nothing is stepped, so nothing can drift. */

/**
 * StepLR: `lr * gamma ** floor(epoch / stepSize)`.
 *
 * Source: torch.optim.lr_scheduler.StepLR, closed form.
 *
 * @param epoch counted from 0.
 */
export function stepLr(
  epoch: number,
  { lr, stepSize, gamma }: { lr: number; stepSize: number; gamma: number },
): number {
  return lr * gamma ** Math.floor(epoch / stepSize);
}
