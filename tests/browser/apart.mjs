// Runs a module in a process of its own: a library with threads of its own may keep a process from ending, and that one is killed.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/// `call(name, ...arguments)` calls a function that the module exports, and gives what it gives: data, with functions among it that are called
/// there as well. What one throws there is thrown here. `end` kills it.
export function apart(url) {
  const child = fork(fileURLToPath(import.meta.url), [String(url)], { serialization: 'advanced' });
  const waiting = new Map();
  let made = 0;
  const over = new Promise((done) => child.once('exit', (code, signal) => done(new Error(`${url} ended (${code ?? signal})`))));
  over.then((error) => waiting.forEach(({ fail }) => fail(error)));
  child.on('message', ({ id, error, data, functions }) => {
    const { done, fail } = waiting.get(id);
    waiting.delete(id);
    if (error) fail(new Error(error));
    else done(functions ? { ...data, ...Object.fromEntries(functions.map((name) => [name, (...given) => ask({ of: id, name, given })])) } : data);
  });
  const ask = (what) => new Promise((done, fail) => {
    const id = ++made;
    waiting.set(id, { done, fail });
    child.send({ ...what, id }, (error) => error && over.then(fail));
  });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  return {
    call: (name, ...given) => ask({ name, given }),
    async end() {
      kill();
      await over;
      process.off('exit', kill);
    },
  };
}

/// The other side.
async function serve(url) {
  const module = await import(url);
  const results = new Map();
  process.on('message', async ({ id, of, name, given }) => {
    try {
      const result = await (of ? results.get(of) : module)[name](...given);
      const parts = result && typeof result === 'object' ? Object.entries(result) : null;
      const functions = parts?.filter(([, part]) => typeof part === 'function').map(([part]) => part);
      if (!functions?.length) return process.send({ id, data: result });
      results.set(id, result);
      process.send({ id, data: Object.fromEntries(parts.filter(([, part]) => typeof part !== 'function')), functions });
    } catch (error) {
      process.send({ id, error: error.stack });
    }
  });
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(process.argv[2]);
