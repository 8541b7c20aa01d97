/**
 * Checks the words of comments, docstrings and documents: `node scripts/checks/words.mjs [FOLDER]`.
 * Prints FILE:LINE and the reason for each finding, and exits with 1 if there are any (CONTRIBUTING.md, "Words").
 */

import { globSync } from 'tinyglobby';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import tseslint from 'typescript-eslint';

/** Rules for the sentences of comments and docstrings. */
const SENTENCE_RULES = [
  {
    pattern: /^(Of|What|Those|The same|Where)\b/,
    reason: (words) => `begins with "${words}"; begin with a verb or a noun`,
  },
  {
    pattern: /(?<!\bthere )\b(is|are) no (?!(?:longer|more|less|faster|slower|larger|smaller)\b)/i,
    reason: () => 'say "is not a"',
  },
];

/** A picture is an image. (`<picture>` is HTML, `@SCOPE/pictures` a package.) */
const PICTURE = /(?<!<\/?|@[\w.-]+\/)\bpictures?\b/i;

/** Names that were given up, by the name in use now. */
const RETIRED = {
  ALONE: 'SINGLE_PROCESS',
  EpochOfRun: 'Training',
  FollowRun: 'adaptToWorldSize',
  FollowingRun: 'adaptToWorldSize',
  Judgement: 'EvaluationSummary',
  MeterSums: 'MetricSums',
  OWN_SETTINGS: 'perRank of SETTINGS',
  PassClock: 'EpochTimer',
  Reins: 'RunHooks',
  RunState: 'TrainerState',
  SHARED_OPTIONS: 'findLr of SETTINGS',
  StepLoop: 'StepScan',
  Team: 'ProcessGroup',
  Voice: 'Output',
  Workshop: 'Training',
  World: 'MpiProcessGroup',
  fedTo: 'selectInputs',
  graphOn: 'graphForProvider',
  head_alone: 'head_only',
  launchedPlace: 'launchInfoFromEnv',
  oncePerHost: 'localMainFirst',
  openTeam: 'openProcessGroup',
  takeTensor: 'requireTensor',
  tidyCheckpoints: 'repairCheckpoints',
  underRanks: 'adaptToWorldSize',
  untilStopped: 'runInterruptible',
};
const RETIRED_NAME = new RegExp(
  String.raw`(?<![\w.-])(${Object.keys(RETIRED).join('|')})(?![\w-])`,
);

/** Returns the comments of a TypeScript or JavaScript file as { line, text }; line comments in a row are one. */
function scriptComments(source) {
  const { comments } = tseslint.parser.parseForESLint(source, { comment: true, loc: true }).ast;
  const found = [];
  let previous;
  for (const { type, value, loc } of comments) {
    const alone = source.split('\n')[loc.start.line - 1].slice(0, loc.start.column).trim() === '';
    if (type === 'Line' && alone && previous?.next === loc.start.line) {
      previous.text += `\n${value}`;
      previous.next++;
      continue;
    }
    const text = type === 'Line' ? value : value.replace(/^\s*\* ?/gm, '');
    const comment = { line: loc.start.line, text, next: loc.end.line + 1 };
    found.push(comment);
    previous = type === 'Line' && alone ? comment : undefined;
  }
  return found;
}

/** Returns the comments and docstrings of a Python file as { line, text }. */
function pythonComments(source) {
  const found = [];
  let previous;
  const token =
    /("""|''')((?:\\[^]|[^\\])*?)\1|"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'|#([^\n]*)/g;
  for (const match of source.matchAll(token)) {
    const before = source.slice(0, match.index);
    const line = before.split('\n').length;
    const alone = before.slice(before.lastIndexOf('\n') + 1).trim() === '';
    const [, , docstring, comment] = match;
    if (comment !== undefined && alone && previous?.next === line) {
      previous.text += `\n${comment}`;
      previous.next++;
    } else if (comment !== undefined || (docstring !== undefined && alone)) {
      previous = { line, text: comment ?? docstring, next: line + 1 };
      found.push(previous);
      if (comment === undefined || !alone) previous = undefined;
    }
  }
  return found;
}

/** Yields the sentences of a comment as { line, text }. Paragraphs, list items and JSDoc tags begin a new one. */
function* sentences({ line, text }) {
  let block = [];
  const lines = text
    .split('\n')
    .map((words, index) => ({ line: line + index, words: words.trim() }));
  for (const each of [...lines, { words: '' }]) {
    if (each.words === '' || /^([-*•]|\d+\.|@\w+) /.test(each.words)) {
      yield* sentencesOf(block);
      block = [];
    }
    if (each.words !== '') block.push(each);
  }
}

/** Yields the sentences of a paragraph, given as lines. */
function* sentencesOf(block) {
  let sentence = '';
  let start;
  for (const { line, words } of block) {
    for (const part of words.split(/(?<=[.!?]["')]?) +(?=[A-Z])/)) {
      if (sentence !== '' && /[.!?]["')]?$/.test(sentence) && /^[A-Z]/.test(part)) {
        yield { line: start, text: sentence };
        sentence = '';
      }
      if (sentence === '') start = line;
      sentence = `${sentence} ${part}`.trim();
    }
  }
  if (sentence !== '') yield { line: start, text: sentence.replace(/^([-*•]|\d+\.) /, '') };
}

/** Returns what the rules find in a file, as { line, reason }. */
function findings(file, source) {
  const found = [];
  const python = file.endsWith('.py');
  if (!file.endsWith('.md')) {
    for (const comment of python ? pythonComments(source) : scriptComments(source)) {
      for (const { line, text } of sentences(comment)) {
        for (const { pattern, reason } of SENTENCE_RULES) {
          const [words] = pattern.exec(text) ?? [];
          if (words !== undefined) found.push({ line, reason: reason(words) });
        }
      }
    }
  }
  for (const [index, text] of source.split('\n').entries()) {
    const line = index + 1;
    if (PICTURE.test(text)) found.push({ line, reason: 'a picture is an image' });
    const [, name] = RETIRED_NAME.exec(text) ?? [];
    // index.ts keeps names that were exported once as deprecated aliases.
    const alias = file === 'src/index.ts' && text.includes(` as ${name}`);
    if (name !== undefined && !alias) {
      found.push({ line, reason: `${name} was given up: ${RETIRED[name]}` });
    }
  }
  return found.sort((a, b) => a.line - b.line);
}

const root = path.resolve(process.argv[2] ?? '.');
const files = globSync(
  ['README.md', 'CONTRIBUTING.md', 'docs/**/*.md', 'src/**/*.{ts,js}', 'scripts/**/*.{py,mjs}'],
  {
    cwd: root,
    ignore: ['docs/api/**', 'src/onnx/onnx_pb.ts', 'scripts/checks/words.mjs'],
  },
).sort();
let count = 0;
for (const file of files) {
  for (const { line, reason } of findings(file, readFileSync(path.join(root, file), 'utf8'))) {
    count++;
    console.log(`${file}:${line}: ${reason}`);
  }
}
if (count > 0) process.exitCode = 1;
