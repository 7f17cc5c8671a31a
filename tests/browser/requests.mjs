// What one of Weir's pages has asked the server for.

import assert from 'node:assert/strict';

/// Runs in a page before its scripts: keeps every request by `fetch`.
export const noteRequests = () => {
  window.requests = [];
  const plain = window.fetch;
  window.fetch = async (url, init) => {
    const response = await plain(url, init);
    window.requests.push([init?.method ?? 'GET', new URL(url, location.href).pathname, response.status]);
    return response;
  };
};

/// Those by this method: `[method, path, status]`.
export const requests = (page, method) => page.evaluate((method) => requests.filter(([m]) => m === method), method);

/// How many sessions it has asked for; a session's own extensions are further down.
export const offers = async (page, kind) => (await requests(page, 'POST')).filter(([, path]) => new RegExp(`^/${kind}/[^/]+$`).test(path)).length;

/// How many restarts of ICE have come off.
export const restarted = async (page) => (await requests(page, 'PATCH')).filter(([, , status]) => status === 200).length;

/// One session all along, with a restart in it.
export async function oneSession(page, kind) {
  assert.equal(await offers(page, kind), 1, 'one POST');
  assert.equal(await page.evaluate(() => connections.length), 1, 'one peer connection');
  assert.ok((await restarted(page)) > 0, JSON.stringify(await requests(page, 'PATCH')));
}
