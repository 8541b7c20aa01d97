/** Checks jobs on two hosts, which hosts.ts imitates on one machine. */

import assert from 'node:assert/strict';
import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Hosts } from './hosts.js';
import { Job, type Launcher } from '../../support/mpi-job.js';
import {
  CLI,
  EPOCHS,
  IMAGES,
  MIDDLE_OF_AN_EPOCH,
  assertSame,
  fails,
  goesOn,
  resumeWords,
  runWords,
  struck,
  succeeds,
  type Strike,
} from './runs.js';
import type { Check } from '../checks.js';
import { makeData, outcome, type Outcome } from '../../support/run-process.js';
import { TINY } from '../../support/paths.js';

/** Seconds that ranks wait for each other. */
const TIMEOUT = 10;
/** Seconds within which a job must end on a failure that is noticed at once. */
const AT_ONCE = 10;

/** Returns the checks of jobs on `hosts`, to be run in this order. @param local `mpirun` without other hosts. */
export function hostChecks(hosts: Hosts, local: Launcher): Check[] {
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
  const words = (name: string, ...more: string[]): string[] =>
    runWords(hosts.here('data'), out(name), ...more);
  let whole: Outcome;

  const endedBy = async (name: string, strike: Strike): Promise<string> => {
    const { seconds, stderr } = await struck(job(words(name)), strike);
    const step = await goesOn((more) => job(more), out(name), whole);
    const told = /^(?:error: |ORTE has|.*noticed).*$/m.exec(stderr)?.[0];
    return `ended after ${seconds.toFixed(1)} s ("${(told ?? stderr).trim().slice(0, 100)}"); resumed from step ${step}: the same bits`;
  };

  return [
    {
      name: 'two hosts with their own read-only copies of the data, over TCP: the bits of two ranks on one host',
      async run() {
        await makeData(hosts.own(1, 'data'), IMAGES, 8);
        await cp(hosts.own(1, 'data'), hosts.own(2, 'data'), { recursive: true });
        const started = job(words('hosts'));
        const stdout = await succeeds(started);
        assert.match(stdout, /"ranks":\{"size":2,"hosts":2,/);
        const given = runWords(hosts.own(1, 'data'), out('one-host'));
        await succeeds(new Job(local, 2, [CLI, ...given], { cwd: hosts.folder, env }));
        whole = await outcome(out('hosts'));
        assertSame(whole, await outcome(out('one-host')));
        return `${whole.last.run.step} steps`;
      },
    },
    {
      name: 'the same bits under MPICH, over TCP too',
      async run() {
        await succeeds(job(words('mpich'), 1, hosts.mpich(1)));
        const found = await outcome(out('mpich'));
        assertSame(found, whole);
        return `${found.last.run.step} steps`;
      },
    },
    {
      name: 'two ranks on each host, and one shared, read-only folder',
      async run() {
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
      name: 'a rank killed on the other host in the middle of an epoch',
      run: () =>
        endedBy('killed', { strike: (started) => started.signal(1, 'SIGKILL'), within: AT_ONCE }),
    },
    {
      name: 'rank 0 killed in the middle of an epoch',
      run: () =>
        endedBy('leader-killed', {
          strike: (started) => started.signal(0, 'SIGKILL'),
          within: AT_ONCE,
        }),
    },
    {
      name: 'the link cut in the middle of an epoch',
      run: () =>
        endedBy('cut', {
          strike: () => {
            hosts.link('down');
          },
          mend: () => {
            hosts.link('up');
          },
          within: TIMEOUT + AT_ONCE,
        }),
    },
    {
      name: 'data that differ between the hosts are found before the first step',
      async run() {
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
        return 'an image that is missing, and one that differs';
      },
    },
    {
      name: 'so are artifacts and settings',
      async run() {
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
      name: 'a run of two ranks goes on with four',
      async run() {
        const started = job(words('more'));
        await started.printed(MIDDLE_OF_AN_EPOCH);
        await started.signal(0, 'SIGTERM');
        await fails(started);
        const { step } = (await outcome(out('more'))).last.run;
        const stdout = await succeeds(job(resumeWords(out('more')), 2));
        assert.match(stdout, /the run had 2 ranks and goes on with 4/);
        const { epoch } = (await outcome(out('more'))).last.run;
        assert.equal(epoch, EPOCHS);
        return `stopped after step ${step}, ended after epoch ${epoch}; the other order is said`;
      },
    },
  ];
}

/** Changes the preprocessing that a manifest describes; the graphs stay as they are. */
async function changeCropScale(file: string): Promise<void> {
  const manifest = JSON.parse(await readFile(file, 'utf8')) as {
    preprocessing: { cropScale: number[] };
  };
  manifest.preprocessing.cropScale = [0.5, 1];
  await writeFile(file, JSON.stringify(manifest));
}
