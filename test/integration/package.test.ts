/** Tests the list of files that `npm pack` would publish. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { architectures } from '../../src/artifacts/node/bundled-artifacts.js';
import { ROOT } from '../support/paths.js';

test('the package holds what it needs and nothing else', () => {
  const words = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const json = execFileSync('npm', words, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  const [{ files, unpackedSize }] = JSON.parse(json) as [
    { files: { path: string }[]; unpackedSize: number },
  ];
  expect(unpackedSize).toBeLessThan(20e6);
  const names = files.map((file) => file.path);
  type Manifest = { graphs: Record<string, { file: string }> };
  const artifacts = architectures().flatMap((arch) => {
    const manifest = `artifacts/${arch}/manifest.json`;
    const { graphs } = JSON.parse(readFileSync(path.join(ROOT, manifest), 'utf8')) as Manifest;
    return [manifest, ...Object.values(graphs).map(({ file }) => `artifacts/${arch}/${file}`)];
  });
  const needed = [
    ...['package.json', 'README.md', 'LICENSE', 'samples/README.md'],
    ...[
      'cli',
      'data',
      'run-folder',
      'devices',
      'distributed',
      'library',
      'model-file',
      'networks',
      'weights',
    ].map((name) => `docs/${name}.md`),
    ...[
      ...['cli.js', 'index.js', 'index.d.ts'],
      ...[
        'platform/node/ort-thread.js',
        'platform/node/image-thread.js',
        'distributed/mpi-worker.js',
      ],
    ].map((name) => `dist/src/${name}`),
    ...[
      ...['report/page.css', 'report/reload.js'],
      ...['export/web/page.css', 'export/web/page.js', 'export/web/decode.js'],
    ].map((name) => `src/${name}`),
    ...artifacts,
  ];
  for (const name of needed) expect(names).toContain(name);
  const allowed =
    /^(dist\/src\/.*\.(js|d\.ts)|src\/(report|export\/web)\/[a-z-]+\.(css|js)|artifacts\/[^/]+\/([^/]+\.onnx\.gz|manifest\.json)|samples\/.*|docs\/(cli|data|weights|run-folder|devices|distributed|library|model-file|networks)\.md|docs\/images\/[a-z-]+\.png|package\.json|[A-Z]+(\.md)?)$/;
  expect(names.filter((name) => !allowed.test(name))).toEqual([]);
  const { bin, exports } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
    exports: Record<string, string | Record<string, string>>;
  };
  const targets = [
    ...Object.values(bin),
    ...Object.values(exports).flatMap((entry) => Object.values(entry)),
  ];
  for (const target of targets.filter((name) => name.startsWith('./'))) {
    expect(names).toContain(target.slice(2));
    expect(existsSync(path.join(ROOT, target))).toBe(true);
  }
});
