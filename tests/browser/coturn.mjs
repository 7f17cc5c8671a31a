// coturn, a TURN server (RFC 8656) that is not ours: `scripts/setup.sh test` unpacks it.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './rig.mjs';

const UNPACKED = fileURLToPath(new URL('../../target/tools/coturn/usr', import.meta.url));

/// Starts one on this address, UDP and TCP, which shares `secret` with whoever signs credentials; it ends with this test.
export async function startCoturn(t, { address, port = 3478, secret }) {
  const unpacked = existsSync(UNPACKED);
  const libraries = unpacked ? readdirSync(join(UNPACKED, 'lib')).map((folder) => join(UNPACKED, 'lib', folder)) : [];
  const folder = await mkdtemp(join(tmpdir(), 'weir-coturn-'));
  const child = spawn(unpacked ? join(UNPACKED, 'bin/turnserver') : 'turnserver', [
    '-n', '--no-cli', '--no-tls', '--no-dtls', '--use-auth-secret', '--static-auth-secret', secret, '--realm', 'weir',
    '--listening-ip', address, '--relay-ip', address, '--listening-port', String(port),
    '--log-file', 'stdout', '--userdb', join(folder, 'db'), '--pidfile', join(folder, 'pid'),
  ], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') } });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { log = (log + chunk).slice(-20000); });
  child.on('error', (error) => { log += error.message; });
  t.after(async () => {
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
  const answers = () => new Promise((done, fail) => {
    const socket = connect(port, address, () => done(socket.destroy()));
    socket.once('error', () => fail(new Error(log)));
  });
  await until('coturn listens', answers);
  return { log: () => log };
}
