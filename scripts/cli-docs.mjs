/** Writes the flag tables of docs/cli.md from the commands' tables: `npm run docs:cli`. */

import { readFile, writeFile } from 'node:fs/promises';
import { withFlagTables } from '../dist/src/cli/reference.js';

const file = new URL('../docs/cli.md', import.meta.url);
await writeFile(file, withFlagTables(await readFile(file, 'utf8')));
