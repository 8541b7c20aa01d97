/** Preloaded: whoever loads koffi, or a thread for MPI, fails. */

import { register } from 'node:module';

const source = `
  export async function resolve(name, context, next) {
    if (name === 'koffi' || name.endsWith('ranks.js')) throw new Error(name + ' was loaded');
    return next(name, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(source)}`);
