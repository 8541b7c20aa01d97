/**
 * Runs Python with the pinned packages of scripts/requirements.lock:
 *
 *     node scripts/python.mjs -m scripts.artifacts --check
 *
 * Makes the virtual environment (.venv in the repository's root) on the first call, and again after
 * each change of the lock file. The working directory is the repository's root; the exit code is
 * Python's. Only Python's own output goes to standard output.
 */

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const WANTED = '3.11';
const root = fileURLToPath(new URL('..', import.meta.url));
const lock = path.join(root, 'scripts', 'requirements.lock');
const venv = path.join(root, '.venv');
// Written last: an environment that was not finished has no stamp, so the next call makes it again.
const stamp = path.join(venv, 'requirements.sha256');
const busy = path.join(root, '.venv.lock');
const windows = process.platform === 'win32';
const python = path.join(venv, ...(windows ? ['Scripts', 'python.exe'] : ['bin', 'python']));

/** Ends the program with one line on standard error. */
function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

/** Runs a command with its output on standard error; returns whether it succeeded. */
function succeeds(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  return status === 0;
}

/** Returns the words of a command that starts Python of the wanted version. */
function findPython() {
  const candidates = [[`python${WANTED}`], ['python3'], ['python']];
  if (windows) candidates.unshift(['py', `-${WANTED}`]);
  const found = [];
  for (const [command, ...args] of candidates) {
    const code = "import sys; print('%d.%d' % sys.version_info[:2])";
    const { status, stdout } = spawnSync(command, [...args, '-c', code], { encoding: 'utf8' });
    const version = status === 0 ? stdout.trim() : null;
    if (version === WANTED) return [command, ...args];
    if (version !== null) found.push(`${[command, ...args].join(' ')} is ${version}`);
  }
  return fail(
    `expected Python ${WANTED} as "python${WANTED}" on the PATH, found ${found.join(', ') || 'none'}; ` +
      `install Python ${WANTED} (onnxruntime-training 1.19.2 has no wheels for later ones)`,
  );
}

/** Takes the lock file, so that no other process makes the same environment meanwhile. */
function takeBusyFile() {
  for (;;) {
    try {
      writeFileSync(busy, String(process.pid), { flag: 'wx' });
      process.once('exit', () => rmSync(busy, { force: true }));
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(readFileSync(busy, 'utf8'));
    try {
      process.kill(owner, 0);
    } catch {
      rmSync(busy, { force: true }); // the owner has ended
      continue;
    }
    fail(
      `expected to make ${venv}, but process ${owner} is making it; wait for it, then try again`,
    );
  }
}

function makeEnvironment(hash) {
  takeBusyFile();
  const [command, ...args] = findPython();
  console.error(`Making .venv from scripts/requirements.lock (once; several GB with PyTorch)`);
  rmSync(venv, { recursive: true, force: true });
  if (!succeeds(command, [...args, '-m', 'venv', venv])) {
    fail(
      `expected "${[command, ...args].join(' ')} -m venv" to work, but it failed (see above); ` +
        `on Debian and Ubuntu install python${WANTED}-venv`,
    );
  }
  const pip = ['-m', 'pip', 'install', '--require-hashes', '--no-input', '-r', lock];
  if (!process.stderr.isTTY) pip.push('--quiet');
  if (!succeeds(python, pip)) {
    fail(`expected pip to install scripts/requirements.lock, but it failed (see above); try again`);
  }
  writeFileSync(stamp, hash);
}

const hash = createHash('sha256').update(readFileSync(lock)).digest('hex');
const made = existsSync(stamp) && existsSync(python) && readFileSync(stamp, 'utf8') === hash;
if (!made) makeEnvironment(hash);

const child = spawn(python, process.argv.slice(2), { cwd: root, stdio: 'inherit' });
// A terminal sends Ctrl-C to Python, too. SIGTERM reaches only this process, so pass it on.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('error', (error) =>
  fail(`expected to run ${python}, got "${error.message}"; delete .venv`),
);
child.on('exit', (code, signal) => {
  process.exitCode = signal === null ? code : 128 + os.constants.signals[signal];
});
