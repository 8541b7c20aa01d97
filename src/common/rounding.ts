/** Rounding as IEEE 754, Python and NumPy do it. */

/** Rounds to the nearest integer, and a tie to the even one. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
