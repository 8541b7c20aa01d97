/** The folder for files that can be had again. */

import os from 'node:os';
import path from 'node:path';

/**
 * Returns the folder of cached files: `ORT_FINETUNE_CACHE` if set, else `ort-finetune` in the platform's own cache
 * folder (`XDG_CACHE_HOME` or `~/.cache`; `~/Library/Caches` on macOS; `%LOCALAPPDATA%` on Windows).
 */
export function cacheFolder(
  environment: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home = os.homedir(),
): string {
  const { ORT_FINETUNE_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = environment;
  if (ORT_FINETUNE_CACHE) return path.resolve(ORT_FINETUNE_CACHE);
  const name = 'ort-finetune';
  if (platform === 'win32') {
    return path.join(LOCALAPPDATA ?? path.join(home, 'AppData', 'Local'), name, 'Cache');
  }
  if (platform === 'darwin') return path.join(home, 'Library', 'Caches', name);
  // The XDG specification says that relative paths are ignored.
  const xdg = XDG_CACHE_HOME !== undefined && path.isAbsolute(XDG_CACHE_HOME);
  return path.join(xdg ? XDG_CACHE_HOME : path.join(home, '.cache'), name);
}
