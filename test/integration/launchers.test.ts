/** Tests scripts/run.mjs and scripts/python.mjs, each in a small repository of its own. */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ROOT } from '../support/paths.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** Creates a folder with the launcher in scripts/ and the given files. */
function repository(launcher: string, files: Record<string, string>): string {
  const folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'launcher-test-')));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  mkdirSync(path.join(folder, 'scripts'), { recursive: true });
  copyFileSync(path.join(ROOT, 'scripts', launcher), path.join(folder, 'scripts', launcher));
  return folder;
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function launch(folder: string, launcher: string, words: string[], search?: string): Outcome {
  const script = path.join(folder, 'scripts', launcher);
  const env = search === undefined ? process.env : { ...process.env, PATH: search };
  return spawnSync(process.execPath, [script, ...words], {
    cwd: os.tmpdir(),
    env,
    encoding: 'utf8',
  });
}

describe('run.mjs', () => {
  const source = (text: string): string =>
    `console.log(${JSON.stringify(text)}, ...process.argv.slice(2)); process.exitCode = 3;\n`;
  const options = { rootDir: '.', outDir: 'dist', module: 'nodenext', types: ['node'] };
  const compilerOptions = { ...options, incremental: true, tsBuildInfoFile: 'dist/.tsbuildinfo' };

  test('compiles only when it must', () => {
    const folder = repository('run.mjs', {
      'package.json': '{"type":"module"}',
      'package-lock.json': '{}',
      'tsconfig.json': JSON.stringify({ compilerOptions, include: ['src'] }),
      'src/cli.ts': source('first'),
    });
    const run = (): Outcome => launch(folder, 'run.mjs', ['train', '--data', 'a b']);
    const result = (text: string, stderr: string): Outcome =>
      expect.objectContaining({
        status: 3,
        stdout: `${text} train --data a b\n`,
        stderr,
      }) as unknown as Outcome;
    const compiling = 'Compiling the TypeScript sources\n';

    expect(run().stderr).toMatch(
      /^error: expected the packages in node_modules.*"npm ci" first\n$/,
    );
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
    expect(run()).toEqual(result('first', compiling));
    expect(run()).toEqual(result('first', ''));

    writeFileSync(path.join(folder, 'src', 'cli.ts'), source('second'));
    expect(run()).toEqual(result('second', compiling));
    expect(run()).toEqual(result('second', ''));

    writeFileSync(path.join(folder, 'src', 'cli.ts'), source('third'));
    const built = { status: 0, stdout: '', stderr: compiling };
    expect(launch(folder, 'run.mjs', ['build'])).toMatchObject(built);
    expect(run()).toEqual(result('third', ''));

    // Sources that do not compile are not run, neither now nor next time.
    writeFileSync(path.join(folder, 'src', 'cli.ts'), 'const n: number = "text";\n');
    for (let call = 0; call < 2; call++) {
      const { status, stdout, stderr } = run();
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toContain('error: expected the sources to compile');
    }
  });
});

describe('paths are relative to the folder in which npm was called', () => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const call = (cwd: string, words: string[], env: NodeJS.ProcessEnv = {}): Outcome => {
    // This test may itself run under npm.
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^(npm_|INIT_CWD)/i.test(name),
    );
    const own = { ...Object.fromEntries(inherited), ...env };
    return spawnSync(npm, words, { cwd, env: own, encoding: 'utf8', shell: npm !== 'npm' });
  };

  test.each([
    ['predict', ['--run', 'none', 'textures']],
    ['evaluate', ['--run', 'none', '--data', 'textures']],
    ['train', ['--data', 'none']],
    ['train', ['--resume', 'none']],
    ['find-lr', ['--data', 'none']],
    ['export-inference', ['--run', 'none']],
  ])('npm run %s %j', (command, words) => {
    const samples = path.join(ROOT, 'samples');
    const { status, stderr } = call(samples, ['run', '-s', command, '--', ...words]);
    expect(status).toBe(2);
    expect(stderr).toContain(path.join(samples, 'none'));
  });

  test('npm run predict reads images and a model there', () => {
    // Neither path exists seen from the root.
    const { status, stderr } = call(path.join(ROOT, 'samples', 'textures'), [
      ...['run', '-s', 'predict', '--', '--model', '../README.md', 'train'],
    ]);
    expect(status).not.toBe(0);
    expect(stderr).toContain('in ../README.md, found something that is not ONNX');
  });

  test('the root itself, another folder, and no npm', () => {
    const folder = repository('run.mjs', {
      'package.json':
        '{"type":"module","scripts":{"where":"node scripts/run.mjs where","test":"node test.mjs"}}',
      'package-lock.json': '{}',
      'tsconfig.json': '{}',
      'src/cli.ts': '',
      'dist/src/cli.js': 'console.log(process.cwd());\n',
      'dist/.compiled': '',
      // A program of an npm script that runs the launcher itself.
      'test.mjs':
        "import { execFileSync } from 'node:child_process';\n" +
        "execFileSync(process.execPath, ['scripts/run.mjs', 'where'], { stdio: 'inherit' });\n",
      'a b/c/file': '',
    });
    const soon = new Date(Date.now() + 60_000);
    utimesSync(path.join(folder, 'dist', '.compiled'), soon, soon);
    const deep = path.join(folder, 'a b', 'c');
    const elsewhere = realpathSync(os.tmpdir());
    const where = ['run', '-s', 'where'];
    expect(call(folder, where).stdout.trim()).toBe(folder);
    expect(call(deep, where).stdout.trim()).toBe(deep);
    expect(call(elsewhere, ['--prefix', folder, ...where]).stdout.trim()).toBe(elsewhere);
    expect(call(deep, ['run', '-s', 'test']).stdout.trim()).toBe(folder);
    expect(launch(folder, 'run.mjs', ['where']).stdout.trim()).toBe(elsewhere);
  });
});

const unix = process.platform === 'win32' ? describe.skip : describe;

unix('python.mjs', () => {
  let folder: string;
  let search: string;

  /**
   * Writes a stand-in for Python. It answers for its version, makes an environment with a copy of itself, records
   * the calls of pip, and prints its arguments otherwise.
   */
  function fakePython(name: string, version: string, pip = 'exit 0'): void {
    const file = path.join(search, name);
    const script = `#!/bin/sh
case "$*" in
  *version_info*) echo ${version} ;;
  "-m venv "*) /bin/mkdir -p "$3/bin" && /bin/cp "$0" "$3/bin/python" ;;
  "-m pip install "*) echo "pip: $*"; ${pip} ;;
  *) echo "in $(pwd): $*"; exit 7 ;;
esac
`;
    writeFileSync(file, script);
    chmodSync(file, 0o755);
  }

  const run = (): Outcome => launch(folder, 'python.mjs', ['-m', 'module', '--check'], search);
  const ran = (): Record<string, unknown> => ({
    status: 7,
    stdout: `in ${folder}: -m module --check\n`,
  });

  beforeEach(() => {
    folder = repository('python.mjs', { 'scripts/requirements.lock': 'one==1\n' });
    search = path.join(folder, 'path');
    mkdirSync(search);
  });

  test('makes the environment once, then runs in the root with the exit code passed on', () => {
    fakePython('python3.11', '3.11');
    const first = run();
    expect(first).toMatchObject(ran());
    expect(first.stderr).toContain('Making .venv');
    expect(first.stderr).toContain('--require-hashes');
    const second = run();
    expect(second).toMatchObject(ran());
    expect(second.stderr).toBe('');
    expect(existsSync(path.join(folder, '.venv.lock'))).toBe(false);
  });

  test('makes it again when the lock file changes', () => {
    fakePython('python3', '3.11');
    run();
    const lock = path.join(folder, 'scripts', 'requirements.lock');
    utimesSync(lock, new Date(), new Date());
    expect(run().stderr).toBe('');
    writeFileSync(lock, 'one==2\n');
    expect(run().stderr).toContain('Making .venv');
    expect(run().stderr).toBe('');
  });

  test('makes it again when it was left half-made', () => {
    fakePython('python3.11', '3.11', 'exit 1');
    const { status, stdout, stderr } = run();
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/error: expected pip to install/);
    expect(existsSync(path.join(folder, '.venv', 'bin', 'python'))).toBe(true);
    fakePython('python3.11', '3.11');
    expect(run()).toMatchObject(ran());
  });

  test('names the Pythons that it found if 3.11 is missing', () => {
    const without = run();
    expect(without.status).toBe(1);
    expect(without.stderr).toMatch(
      /^error: expected Python 3\.11 .* found none; install [^\n]+\n$/,
    );
    fakePython('python3', '3.12');
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toMatch(/^error: expected Python 3\.11 .* found python3 is 3\.12; [^\n]+\n$/);
    expect(existsSync(path.join(folder, '.venv'))).toBe(false);
  });

  test('does not wait for, and does not disturb, another process that makes it', () => {
    fakePython('python3.11', '3.11');
    const busy = path.join(folder, '.venv.lock');
    writeFileSync(busy, String(process.pid));
    const refused = run();
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(`process ${process.pid} is making it`);
    // A lock file whose owner has ended does not block.
    writeFileSync(busy, String(spawnSync(process.execPath, ['-e', '']).pid));
    expect(run()).toMatchObject(ran());
  });
});
