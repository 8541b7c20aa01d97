/** Preloaded by a test: loading koffi, or starting a thread for MPI, throws an error. */

import { register } from 'node:module';

const source = `
  export async function resolve(name, context, next) {
    if (name === 'koffi' || name.endsWith('ranks.js')) throw new Error(name + ' was loaded');
    return next(name, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(source)}`);
