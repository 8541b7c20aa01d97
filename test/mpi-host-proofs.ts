/** What holds of a job on two hosts: see mpi-hosts.ts for how real they are. */

import assert from 'node:assert/strict';
import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Hosts } from './mpi-hosts.js';
import { Job, program, type Launcher } from './mpi-job.js';
import type { Proof } from './proofs.js';
import { makeData, outcome, trainWords, type Outcome } from './run-process.js';
import { TINY } from './tiny-network.js';

const CLI = program('mpi-cli');
/** Of each class. One a step and rank: an epoch of two ranks is as many steps. */
const IMAGES = 400;
const EPOCHS = 3;
/** Steps are shown at intervals, which are shorter than an epoch, and at its end. */
const MIDDLE_OF_AN_EPOCH = /"type":"step","epoch":2,[^\n]*"phase":"train","batch":(?!400,)/;
/** Seconds that ranks wait for each other. */
const TIMEOUT = 10;
/** Seconds for what must be noticed at once. */
const AT_ONCE = 10;

/** Claims about jobs on `hosts`, to be shown in this order. @param local `mpirun` without other hosts. */
export function hostProofs(hosts: Hosts, local: Launcher): Proof[] {
  const env = {
    ORT_FINETUNE_CACHE: path.join(hosts.folder, 'cache'),
    ORT_FINETUNE_MPI_TIMEOUT: String(TIMEOUT),
  };
  const out = (name: string): string => path.join(hosts.folder, `run-${name}`);
  const job = (
    words: readonly string[],
    each = 1,
    launcher = hosts.openMpi(each, Object.keys(env)),
  ): Job => new Job(launcher, 2 * each, [CLI, ...words], { cwd: hosts.folder, env });
  const words = (name: string, ...more: string[]): string[] => {
    const setting = ['--epochs', String(EPOCHS), '--lr', '0.02', '--batch-size', '1'];
    const output = ['--save-every', '20', '--json'];
    return trainWords(hosts.here('data'), out(name), ...setting, ...output, ...more);
  };
  const succeeds = async (started: Job): Promise<string> => {
    const { code, stdout, stderr } = await started.ended;
    assert.equal(code, 0, `expected the job to succeed, got exit code ${code}: ${stderr}`);
    return stdout;
  };
  const fails = async (started: Job): Promise<string> => {
    const { code, stderr } = await started.ended;
    assert.notEqual(code, 0, 'expected the job to fail, got exit code 0');
    return stderr;
  };
  let whole: Outcome;

  /** A job that `strike` ends in the middle of an epoch; what it left behind is whole, and goes on as if nothing were. */
  const struck = async (
    name: string,
    strike: (started: Job) => Promise<void> | void,
    within: number,
    mend: () => void = () => undefined,
  ): Promise<string> => {
    const started = job(words(name));
    await started.printed(MIDDLE_OF_AN_EPOCH);
    const began = performance.now();
    await strike(started);
    let stderr: string;
    try {
      stderr = await fails(started);
    } finally {
      mend();
    }
    const seconds = (performance.now() - began) / 1000;
    assert.ok(
      seconds <= within,
      `expected the end within ${within} s, got ${seconds.toFixed(1)} s`,
    );
    const { run } = (await outcome(out(name))).last;
    assert.ok(run.epoch === 1, `expected a checkpoint of epoch 2, got epoch ${run.epoch}`);
    await succeeds(job(['train', '--resume', out(name), '--json']));
    assertSame(await outcome(out(name)), whole);
    const told = /^(?:error: |ORTE has|.*noticed).*$/m.exec(stderr)?.[0];
    return `ended after ${seconds.toFixed(1)} s ("${(told ?? stderr).trim().slice(0, 100)}"); resumed from step ${run.step}: the same bits`;
  };

  return [
    {
      claim:
        'two hosts with their own read-only copies of the data, over TCP: the bits of two ranks on one host',
      async show() {
        await makeData(hosts.own(1, 'data'), IMAGES, 8);
        await cp(hosts.own(1, 'data'), hosts.own(2, 'data'), { recursive: true });
        const started = job(words('hosts'));
        const stdout = await succeeds(started);
        assert.match(stdout, /"ranks":\{"size":2,"hosts":2,/);
        const given = trainWords(hosts.own(1, 'data'), out('one-host'));
        const more = words('one-host').slice(given.length);
        const alone = new Job(local, 2, [CLI, ...given, ...more], { cwd: hosts.folder, env });
        await succeeds(alone);
        whole = await outcome(out('hosts'));
        assertSame(whole, await outcome(out('one-host')));
        return `${whole.last.run.step} steps`;
      },
    },
    {
      claim: 'the same bits under MPICH, over TCP too',
      async show() {
        await succeeds(job(words('mpich'), 1, hosts.mpich(1)));
        const found = await outcome(out('mpich'));
        assertSame(found, whole);
        return `${found.last.run.step} steps`;
      },
    },
    {
      claim: 'two ranks on each host, and one shared, read-only folder',
      async show() {
        await rm(hosts.own(2, 'data'), { recursive: true });
        const shared = hosts.shared('data');
        await cp(hosts.own(1, 'data'), shared, { recursive: true });
        const given = words('four').map((word) => (word === hosts.here('data') ? shared : word));
        assert.match(await succeeds(job(given, 2)), /"ranks":\{"size":4,"hosts":2,/);
        await cp(shared, hosts.own(2, 'data'), { recursive: true });
        return `${(await outcome(out('four'))).last.run.step} steps`;
      },
    },
    {
      claim: 'a rank killed on the other host in the middle of an epoch',
      show: () => struck('killed', (started) => started.signal(1, 'SIGKILL'), AT_ONCE),
    },
    {
      claim: 'rank 0 killed in the middle of an epoch',
      show: () => struck('leader-killed', (started) => started.signal(0, 'SIGKILL'), AT_ONCE),
    },
    {
      claim: 'the link cut in the middle of an epoch',
      show: () =>
        struck(
          'cut',
          () => {
            hosts.link('down');
          },
          TIMEOUT + AT_ONCE,
          () => {
            hosts.link('up');
          },
        ),
    },
    {
      claim: 'data that differ between the hosts are found before the first step',
      async show() {
        const [name = ''] = await readdir(hosts.own(2, 'data', 'train', 'red'));
        const file = hosts.own(2, 'data', 'train', 'red', name);
        const bytes = await readFile(file);
        await rm(file);
        const missing = await fails(job(words('refused')));
        assert.match(missing, /expected the same on all 2 ranks, found data: /);
        await writeFile(file, await readFile(hosts.own(2, 'data', 'train', 'blue', name)));
        const changed = await fails(job(words('refused')));
        assert.match(changed, /expected the same on all 2 ranks, found data: /);
        await writeFile(file, bytes);
        await assert.rejects(readdir(out('refused')), /ENOENT/);
        return 'a picture that is missing, and one that is another';
      },
    },
    {
      claim: 'so are artifacts and settings',
      async show() {
        for (const host of [1, 2] as const) {
          await cp(TINY, hosts.own(host, 'artifacts'), { recursive: true });
        }
        const given = words('refused').map((word) =>
          word === TINY ? hosts.here('artifacts') : word,
        );
        const manifest = hosts.own(2, 'artifacts', 'manifest.json');
        await changeCropScale(manifest);
        const artifacts = await fails(job(given));
        assert.match(artifacts, /expected the same on all 2 ranks, found /);
        const settings = await fails(job(words('refused', '--weight-decay', '0.{rank}')));
        assert.match(settings, /found weightDecay: 0 on rank 0, 0.1 on rank 1 \(host-2\)/);
        await assert.rejects(readdir(out('refused')), /ENOENT/);
        return /found .*?;/.exec(artifacts)?.[0] ?? '';
      },
    },
    {
      claim: 'a run of two ranks goes on with four',
      async show() {
        const started = job(words('more'));
        await started.printed(MIDDLE_OF_AN_EPOCH);
        await started.signal(0, 'SIGTERM');
        await fails(started);
        const { step } = (await outcome(out('more'))).last.run;
        const stdout = await succeeds(job(['train', '--resume', out('more'), '--json'], 2));
        assert.match(stdout, /the run had 2 ranks and goes on with 4/);
        const { epoch } = (await outcome(out('more'))).last.run;
        assert.equal(epoch, EPOCHS);
        return `stopped after step ${step}, ended after epoch ${epoch}; the other order is said`;
      },
    },
  ];
}

function assertSame(found: Outcome, expected: Outcome): void {
  assert.deepEqual(found.metrics, expected.metrics);
  assert.deepEqual(found.last.state, expected.last.state);
  assert.deepEqual(found.best.state, expected.best.state);
}

/** Other artifacts: the same graphs with another preprocessing. */
async function changeCropScale(file: string): Promise<void> {
  const manifest = JSON.parse(await readFile(file, 'utf8')) as {
    preprocessing: { cropScale: number[] };
  };
  manifest.preprocessing.cropScale = [0.5, 1];
  await writeFile(file, JSON.stringify(manifest));
}
