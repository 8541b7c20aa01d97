import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import js from '@eslint/js';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import { importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/**
 * The rooms of src/, from the bottom up. A room imports only from rooms of the lines above its own, types
 * included (docs/architecture.md). A line may hold several rooms, which do not import each other.
 */
const LAYERS = [
  ['platform'],
  ['common', 'metrics'],
  ['artifacts'],
  ['images', 'onnx', 'session', 'weights'],
  ['data', 'distributed'],
  ['config'],
  ['checkpoint', 'devices'],
  ['inference'],
  ['report', 'export'],
  ['train'],
  ['platform/node'],
  ['cli'],
];
/** The programs and the public interface: no room imports them. */
const ENTRIES = ['src/index.ts', 'src/internal.ts', 'src/cli.ts'];

const zones = LAYERS.flatMap((rooms, layer) =>
  rooms.map((room) => ({
    // platform/node lies in platform's folder, but is a room of its own.
    target: room === 'platform' ? 'src/platform/*.ts' : `src/${room}`,
    from: [
      ...LAYERS.slice(layer)
        .flat()
        .filter((other) => other !== room)
        .map((other) => `src/${other}`),
      ...ENTRIES,
    ],
    message: 'A room imports only from the layers below it (docs/architecture.md).',
  })),
);

/** The files that must run in a browser, too. This is their only list; `npm run typecheck` compiles it alone. */
const PORTABLE = JSON.parse(
  readFileSync(new URL('tsconfig.portable.json', import.meta.url), 'utf8'),
);
const NODE_MODULES = ['koffi', 'onnxruntime-node', 'sharp', 'yauzl', ...builtinModules];
const NODE_GLOBALS = ['Buffer', 'process', 'setImmediate', 'clearImmediate'];
const RECURSIVE_MESSAGE =
  'A recursive mkdir may never end; use makeFolder (src/common/node/make-folder.ts).';
const PORTABLE_MESSAGE = 'Portable code gets its host as a Platform (src/platform/platform.ts).';

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'runs/', 'docs/api/', 'src/onnx/onnx_pb.ts', '**/.venv/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      'max-lines': ['error', { max: 300, skipBlankLines: false, skipComments: false }],
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [createTypeScriptImportResolver()],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
    },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones }],
      'import-x/no-cycle': 'error',
      'max-lines-per-function': ['error', 60],
      'max-params': ['error', 4],
      'no-restricted-syntax': [
        'error',
        {
          selector:
            "CallExpression:matches([callee.name=/^mkdir(Sync)?$/], [callee.property.name=/^mkdir(Sync)?$/]):has(Property:matches([key.name='recursive'], [key.value='recursive']))",
          message: RECURSIVE_MESSAGE,
        },
      ],
    },
  },
  {
    files: PORTABLE.include,
    ignores: PORTABLE.exclude,
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: NODE_MODULES.map((name) => ({ name, message: PORTABLE_MESSAGE })),
          patterns: [{ regex: '^node:|/node/', message: PORTABLE_MESSAGE }],
        },
      ],
      'no-restricted-globals': [
        'error',
        ...NODE_GLOBALS.map((name) => ({ name, message: PORTABLE_MESSAGE })),
      ],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        performance: 'readonly',
      },
    },
  },
  {
    // Scripts that pages embed: they run in a browser.
    files: ['src/**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          ...['addEventListener', 'createImageBitmap', 'document', 'getSelection', 'location'],
          ...['OffscreenCanvas', 'setTimeout', 'Blob'],
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
);
