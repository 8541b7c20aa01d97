/** Preloaded by a test: loading koffi, or starting a thread for MPI, throws an error. */

import Module, { register } from 'node:module';

const source = `
  export async function resolve(name, context, next) {
    if (name.endsWith('mpi-process-group.js')) throw new Error(name + ' was loaded');
    return next(name, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(source)}`);

// koffi is required, not imported, which hooks of register() do not see.
const require = Reflect.get(Module.prototype, 'require') as (
  this: unknown,
  name: string,
) => unknown;
Reflect.set(Module.prototype, 'require', function (this: unknown, name: string): unknown {
  if (name === 'koffi') throw new Error('koffi was loaded');
  return require.call(this, name);
});
