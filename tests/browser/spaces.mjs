// Real networks on one machine: Linux network namespaces joined by cables (veth pairs), with nftables in them.
//
// Importing this moves the test file into a network namespace of its own, with whatever it starts: begun again by `unshare`, as root, or as anybody in a
// user namespace. Nothing of the machine's own network is touched, no name or address can meet another's, and since the namespace of
// processes is a new one too, the kernel ends all that the file has started when it ends, however it does.

import { after } from 'node:test';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

// Where Debian has `ip` and `nft`, and who is not root has not.
process.env.PATH += ':/usr/sbin:/sbin';
if (!process.env.WEIR_TEST_INSIDE) moveInside();

/// Begins this program again in namespaces of its own and ends with it.
function moveInside() {
  const user = process.getuid() === 0 ? [] : ['--user', '--map-root-user'];
  const unshare = ['unshare', ...user, '--net', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];
  const tried = spawnSync(unshare[0], [...unshare.slice(1), 'sh', '-ec', 'ip link set lo up; nft list ruleset'], { encoding: 'utf8' });
  if (tried.status !== 0) throw new Error(refused(tried));
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // `setpriv`: should this process be killed, `unshare` is, and then all in it.
  const { status } = spawnSync('setpriv', ['--pdeathsig', 'KILL', ...unshare, 'sh', '-ec', 'ip link set lo up; exec "$@"', 'sh', ...again], {
    stdio: 'inherit', env: { ...process.env, WEIR_TEST_INSIDE: '1' },
  });
  process.exit(status ?? 1);
}

/// Why there are no namespaces here, and what to do.
function refused({ error, stderr }) {
  const said = (error?.message ?? stderr).trim();
  if (error || /not found/.test(said)) return `${said}: \`scripts/setup.sh test\` installs unshare (util-linux), ip (iproute2) and nft (nftables)`;
  return `this test makes network namespaces, and the system does not let it: ${said}\n`
    + 'Run it as root, or let users make them: sysctl -w user.max_user_namespaces=10000, on older Debian kernel.unprivileged_userns_clone=1, '
    + 'on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; in a container: docker run --privileged';
}

/// Runs a program and gives what it prints. Its refusal is an error with its words and `input`.
function run(argv, input = '') {
  const done = promisify(execFile)(argv[0], argv.slice(1));
  done.child.stdin.on('error', () => {}).end(input); // Who ends without reading has its status.
  return done.then(({ stdout }) => stdout, ({ stderr, message }) => { throw new Error(`${argv.join(' ')}: ${stderr || message}\n${input}`); });
}

/// A namespace. `enter`: what stands before a command that is to run in it.
class Space {
  constructor(pid, enter) {
    this.pid = pid;
    this.enter = enter;
  }

  /// Lines for `ip`, without the word, one after the other: `address add 10.77.0.1/32 dev lo`.
  ip(...lines) {
    return run([...this.enter, 'ip', '-batch', '-'], `${lines.join('\n')}\n`);
  }

  /// Replaces all rules of nftables by these.
  rules(text) {
    return run([...this.enter, 'nft', '-f', '-'], `flush ruleset\n${text}\n`);
  }

  /// How many packets a named counter of these rules has seen.
  async counted(table, name) {
    const { nftables } = JSON.parse(await run([...this.enter, 'nft', '-j', 'list', 'counter', ...table.split(' '), name]));
    return nftables.find((one) => one.counter).counter.packets;
  }

  /// Passes on what is not for itself.
  forwards() {
    return run([...this.enter, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  }

  /// The path of a script that runs this program in here, for who can be told no more than a path.
  async wrap(program) {
    const folder = await mkdtemp(join(tmpdir(), 'weir-space-'));
    after(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'run');
    await writeFile(path, `#!/bin/sh\nexec ${this.enter.join(' ')} '${program}' "$@"\n`);
    await chmod(path, 0o755);
    return path;
  }
}

/// The one in which this process is.
export const here = new Space(process.pid, []);

/// Another one, which is there until the test file ends.
export async function startSpace() {
  const holder = spawn('unshare', ['--net', 'sh', '-ec', 'ip link set lo up; echo up; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  after(() => holder.kill());
  await new Promise((done, fail) => {
    createInterface({ input: holder.stdout }).once('line', done);
    holder.once('exit', (code) => fail(new Error(`no network namespace: unshare ended (${code})`)));
  });
  return new Space(holder.pid, ['nsenter', '--target', String(holder.pid), '--net', '--']);
}

/// A cable between two, with an interface of this name at each end; both are down and without an address.
export const cable = (one, other, name) => here.ip(`link add name ${name} netns ${one.pid} type veth peer name ${name} netns ${other.pid}`);
