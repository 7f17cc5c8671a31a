// Pages with other people's clients in them (`lab/others.js`): what a web developer would do, import the packages and bundle them.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/// Bundles them once; gives what opens a lab page with them.
export async function withClients(rig) {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('lab/others.js', import.meta.url))],
    bundle: true, write: false, format: 'esm', platform: 'browser', logLevel: 'error',
    define: { global: 'globalThis' },
  });
  rig.extra.set('clients.js', bundle.outputFiles[0].contents);
  return async (name) => {
    const page = await rig.lab(name);
    await page.evaluate(async () => { window.clients = await import('/clients.js'); });
    return page;
  };
}

/// whep.js 1.2.0 never reads the ETag, so its trickle PATCH lacks If-Match: RFC 9725 section 4.3.1 wants 428, and it plays without.
export const withoutWhepPatch = (errors) => errors.filter((line) => !/428/.test(line));
