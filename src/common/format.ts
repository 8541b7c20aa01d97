/** Numbers, lists and errors as people read them. */

/** Returns whole seconds as `45s`, `3m 05s` or `2h 07m`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}

/** Returns a share between 0 and 1 as `98.7%`. */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

/** Returns a learning rate without the noise of binary fractions: `0.0001`, `1e-7`. */
export function formatRate(rate: number): string {
  return String(Number(rate.toPrecision(6)));
}

/** Returns an estimated learning rate with two digits. */
export function formatRoughRate(rate: number): string {
  return formatRate(Number(rate.toPrecision(2)));
}

/** Returns a bar of `width` characters, filled to `share` (0 to 1). */
export function formatBar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** Returns the first items and how many follow: `a, b, c and 3 more`. */
export function listSome(items: readonly string[], most = 5): string {
  const more = items.length - most;
  return items.slice(0, most).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** Returns a number and its noun: `1 tensor`, `3 tensors`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Returns the message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Returns the code of a system error, for example `ENOENT`; undefined for anything else that was thrown. */
export function codeOf(error: unknown): string | undefined {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
