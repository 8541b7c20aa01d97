/** Checks jobs that Slurm's `srun` starts. slurm.ts runs a Slurm on this machine for them. */

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
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
import { KILL_WAIT, type Slurm } from './slurm.js';
import type { Check } from '../checks.js';
import { makeData, outcome, type Outcome } from '../../support/run-process.js';
import { CLI as USER_CLI } from '../../support/paths.js';

/** Seconds that a busy machine may take longer than Slurm's own wait. */
const MARGIN = 15;
/** PMIx creates a folder named after the job's number, so two nodes that share a disk would collide. */
const ONE_NODE = '--nodes=1';

/** Returns the checks of jobs under `slurm`, to be run in this order. @param local `mpirun` without Slurm. */
export function slurmChecks(slurm: Slurm, local: Launcher): Check[] {
  const data = path.join(slurm.folder, 'data');
  const out = (name: string): string => path.join(slurm.folder, `run-${name}`);
  const options = {
    cwd: slurm.folder,
    env: { ...slurm.env, ORT_FINETUNE_CACHE: path.join(slurm.folder, 'cache') },
  };
  const pmix = slurm.srun('--mpi=pmix', ONE_NODE, '-K', '-X');
  const pmi2 = slurm.srun('--mpi=pmi2', '--nodes=2', '-K', '-X');
  const job = (words: readonly string[], launcher = pmix, ranks = 2): Job =>
    new Job(launcher, ranks, [CLI, ...words], options);
  const words = (name: string): string[] => runWords(data, out(name));
  let whole: Outcome;
  const kill: Strike = {
    strike: (started) => started.signal(1, 'SIGKILL'),
    within: KILL_WAIT + MARGIN,
  };

  return [
    {
      name: 'srun --mpi=pmix with Open MPI: the bits of two ranks under mpirun',
      async run() {
        await makeData(data, IMAGES, 8);
        await succeeds(job(words('mpirun'), local));
        whole = await outcome(out('mpirun'));
        assert.match(await succeeds(job(words('pmix'))), /"ranks":\{"size":2,[^}]*"Open MPI/);
        const found = await outcome(out('pmix'));
        assertSame(found, whole);
        return `${found.last.run.step} steps`;
      },
    },
    {
      name: 'srun --mpi=pmi2 with MPICH, a rank on each of two nodes: the same bits',
      async run() {
        const stdout = await succeeds(job(words('pmi2'), pmi2));
        assert.match(stdout, /"ranks":\{"size":2,[^}]*"MPICH/);
        const found = await outcome(out('pmi2'));
        assertSame(found, whole);
        return `${found.last.run.step} steps`;
      },
    },
    {
      name: 'srun without --mpi is refused: a line for each task, and no run',
      async run() {
        // Use the command line itself: the test program needs the rank's number, which is not set here.
        const given = [USER_CLI, ...words('refused')];
        const stderr = await fails(new Job(slurm.srun(ONE_NODE), 2, given, options));
        const lines = stderr.split('\n').filter((line) => line.startsWith('error: '));
        assert.equal(lines.length, 2, `expected a line for each of 2 tasks, got ${stderr}`);
        for (const line of lines) assert.match(line, /srun --mpi=pmix/);
        await assert.rejects(readdir(out('refused')), /ENOENT/);
        return `"${lines[0]?.slice(0, 70) ?? ''}…"`;
      },
    },
    {
      name: 'a rank killed in the middle of an epoch ends the job',
      async run() {
        const { seconds } = await struck(job(words('killed')), kill);
        const step = await goesOn(job, out('killed'), whole);
        return `after ${seconds.toFixed(1)} s, KillWait=${KILL_WAIT}; resumed from step ${step}: the same bits`;
      },
    },
    {
      // PMIx ends a job even without -K, so only this check tests -K.
      name: 'under MPICH too (-K): the other rank leaves its all-reduce with a message',
      async run() {
        const leaves = { ...kill, within: KILL_WAIT - 1 };
        const { seconds, stderr } = await struck(job(words('killed-pmi2'), pmi2), leaves);
        assert.match(stderr, /^error: rank 0.*expected the other ranks .* after SIGTERM/m);
        return `after ${seconds.toFixed(1)} s, KillWait=${KILL_WAIT}`;
      },
    },
    {
      name: 'one SIGINT to srun stops it with a checkpoint (-X), and it goes on with four tasks',
      async run() {
        const started = job(words('stopped'));
        await started.printed(MIDDLE_OF_AN_EPOCH);
        started.child.kill('SIGINT');
        const stderr = await fails(started);
        const { step } = (await outcome(out('stopped'))).last.run;
        const said = stderr.match(/^Stopped after step \d+; to go on: /gm);
        assert.deepEqual(said, [`Stopped after step ${step}; to go on: `], stderr);
        const stdout = await succeeds(job(resumeWords(out('stopped')), pmix, 4));
        assert.match(stdout, /the run had 2 ranks and goes on with 4/);
        const { epoch } = (await outcome(out('stopped'))).last.run;
        assert.equal(epoch, EPOCHS);
        return `stopped after step ${step}, ended after epoch ${epoch}`;
      },
    },
  ];
}
