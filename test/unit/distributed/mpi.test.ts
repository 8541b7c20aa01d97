import { describe, expect, test } from '@jest/globals';
import { openSync } from 'node:fs';
import { ConfigError } from '../../../src/common/errors.js';
import {
  checkConnection,
  launchInfoFromEnv,
  libraryNames,
} from '../../../src/distributed/launcher.js';
import { installedLaunchers, runJob } from '../../support/mpi-job.js';
import { testProgram } from '../../support/paths.js';

const launchers = installedLaunchers();
const RANK = testProgram('long/mpi/rank');

describe('the environment', () => {
  test.each([
    ['Open MPI', { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '4', PMIX_RANK: '3' }],
    ['MPICH', { PMI_RANK: '3', PMI_SIZE: '4' }],
    ['Slurm', { PMIX_RANK: '3', SLURM_STEP_NUM_TASKS: '4', SLURM_PROCID: '3' }],
    ['Slurm', { PMI_RANK: '3', PMI_SIZE: '4', SLURM_STEP_NUM_TASKS: '4' }],
  ])('of %s tells rank and size', (launcher, env) => {
    expect(launchInfoFromEnv(env)).toEqual({ launcher, rank: 3, size: 4 });
  });

  test.each([
    ['of a shell', {}],
    ['of the script of a Slurm job', { SLURM_PROCID: '0', SLURM_NTASKS: '4' }],
    ['with half of what a launcher sets', { PMI_RANK: '1', PMI_SIZE: '' }],
    ['of srun with one task', { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' }],
  ])('%s tells of no launcher', (_, env) => {
    expect(launchInfoFromEnv(env)).toBeNull();
  });

  test('of srun without MPI is refused: every task would train for itself', () => {
    const attempt = (): unknown =>
      launchInfoFromEnv({ SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2' });
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow('srun --mpi=pmix');
  });

  test('of mpirun -pmi-port is refused, too', () => {
    expect(() => launchInfoFromEnv({ PMI_PORT: 'host:1', PMI_ID: '1' })).toThrow('-pmi-port');
  });

  test('names a connection, which must be there and be one', () => {
    checkConnection({});
    for (const descriptor of ['987654', 'x', String(openSync(RANK, 'r'))]) {
      const attempt = (): void => {
        checkConnection({ PMI_FD: descriptor });
      };
      expect(attempt).toThrow(ConfigError);
      expect(attempt).toThrow('npm and npx do not hand it down');
    }
  });

  test('may name the library', () => {
    expect(libraryNames('MPICH', { ORT_FINETUNE_MPI: '/opt/mpi.so' })).toEqual(['/opt/mpi.so']);
    expect(libraryNames('Open MPI', {})[0]).toBe('libmpi.so.40');
    expect(libraryNames('MPICH', {})[0]).toBe('libmpich.so.12');
    expect(libraryNames('Slurm', { PMIX_RANK: '0' })[0]).toBe('libmpi.so.40');
    expect(libraryNames('Slurm', { PMI_RANK: '0' })[0]).toBe('libmpich.so.12');
  });
});

if (launchers.length === 0) {
  test.skip('ranks: there is no mpirun (Debian: openmpi-bin, mpich)', () => undefined);
}

for (const launcher of launchers) {
  describe(`ranks under ${launcher.name}`, () => {
    test.each([2, 3])('sum, broadcast, gather and wait: %i of them', async (size) => {
      const { code, stdout, stderr } = await runJob(launcher, size, [RANK, 'collectives']);
      expect([stderr, code]).toEqual(['', 0]);
      const found = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { rank: number; version: string; float64: number[] });
      expect(found.map(({ rank }) => rank).sort()).toEqual([...Array(size).keys()]);
      const total = (size * (size + 1)) / 2;
      for (const { version, float64, ...rest } of found) {
        expect(version).toContain(launcher.name === 'MPICH' ? 'MPICH' : 'Open MPI v');
        expect(float64[0]).toBeCloseTo(size / 10, 12);
        expect(float64[1]).toBe((10 ** size - 1) / 9);
        expect(rest).toEqual({
          rank: rest.rank,
          size,
          float32: [total, total, 3_000_001],
          int64: `${(BigInt(size) * 2n ** 60n).toString()} ${(size * (size - 1)) / 2}`,
          broadcast: true,
          gathered: Array.from({ length: size }, (_, rank) => ({
            rank,
            text: 'ä'.repeat(rank * 7),
          })),
        });
      }
    });

    test('a rank that fails takes the job down, with its reason and within seconds', async () => {
      const { code, stdout, stderr, seconds } = await runJob(launcher, 3, [RANK, 'fails']);
      expect(code).not.toBe(0);
      expect(stderr).toContain('error: rank 2: the disk of this rank is on fire');
      expect(stdout).not.toContain('3');
      expect(seconds).toBeLessThan(15);
    });

    test('so does one that ends without having taken part', async () => {
      const { code, seconds } = await runJob(launcher, 3, [RANK, 'deserts']);
      expect(code).not.toBe(0);
      expect(seconds).toBeLessThan(15);
    });

    test.each([
      ['does not come', 'hangs'],
      ['has not started MPI', 'absent'],
    ])('a rank that %s is not waited for forever', async (_, scenario) => {
      const env = { ORT_FINETUNE_MPI_TIMEOUT: '2' };
      const { code, stderr, seconds } = await runJob(launcher, 2, [RANK, scenario], { env });
      expect(code).not.toBe(0);
      expect(stderr).toContain('error: rank 0: expected all ranks to come together within 2 s');
      expect(seconds).toBeLessThan(20);
    });

    test('a library that cannot be loaded is named', async () => {
      const env = { ORT_FINETUNE_MPI: '/nowhere/libmpi.so' };
      const { code, stderr } = await runJob(launcher, 1, [RANK, 'collectives'], { env });
      expect(code).not.toBe(0);
      expect(stderr).toContain('expected an MPI library (/nowhere/libmpi.so)');
    });
  });
}

if (launchers.length === 2) {
  test.each([
    ['Open MPI', 'libmpich.so.12'],
    ['MPICH', 'libmpi.so.40'],
  ])("the library of another MPI than %s's is noticed", async (name, library) => {
    const launcher = launchers.find((one) => one.name === name);
    if (launcher === undefined) throw new Error(`no ${name}`);
    const env = { ORT_FINETUNE_MPI: library };
    const { code, stderr } = await runJob(launcher, 2, [RANK, 'collectives'], { env });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/expected the 2 ranks .* found 1 with .* name the right library/);
  });
}
