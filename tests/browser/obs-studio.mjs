// OBS Studio under Xvfb, with a fresh profile in which nothing is set but server and key.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/// Streams the file `film` from its start on, on a screen of its own.
export async function startObs({ server, key, film, width, height }) {
  for (const program of ['/usr/bin/obs', '/usr/bin/Xvfb'])
    if (!existsSync(program)) throw new Error(`no ${program}: \`scripts/setup.sh obs\` installs it`);
  const home = await mkdtemp(join(tmpdir(), 'weir-obs-'));
  const config = join(home, 'obs-studio');
  const profile = join(config, 'basic/profiles/Fresh');
  await mkdir(profile, { recursive: true });
  await mkdir(join(config, 'basic/scenes'), { recursive: true });
  // FirstRun is "the wizard was shown"; the rest says which profile and scenes.
  await writeFile(join(config, 'global.ini'), '[General]\nFirstRun=true\nLastVersion=486539266\nEnableAutoUpdates=false\n\n'
    + '[Basic]\nProfile=Fresh\nProfileDir=Fresh\nSceneCollection=Film\nSceneCollectionFile=Film\n');
  await writeFile(join(profile, 'basic.ini'), '[General]\nName=Fresh\n');
  await writeFile(join(profile, 'service.json'), JSON.stringify({ type: 'rtmp_custom', settings: { server, key, use_auth: false } }));
  await writeFile(join(config, 'basic/scenes/Film.json'), JSON.stringify(scenes(film)));

  const screen = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', `${width}x${height}x24`, '-nolisten', 'tcp'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const display = await new Promise((done, fail) => {
    screen.stdio[3].once('data', (said) => done(String(said).trim()));
    screen.once('exit', (code) => fail(new Error(`Xvfb ended: ${code}`)));
  });
  const obs = spawn('obs', ['--multi', '--disable-shutdown-check', '--startstreaming', '--profile', 'Fresh', '--collection', 'Film'], {
    env: { ...process.env, DISPLAY: `:${display}`, HOME: home, XDG_CONFIG_HOME: home, XDG_RUNTIME_DIR: home, QT_QPA_PLATFORM: 'xcb', LIBGL_ALWAYS_SOFTWARE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const pipe of [obs.stdout, obs.stderr]) pipe.on('data', (said) => { log = (log + said).slice(-30000); });
  const children = [obs, screen];
  const kill = () => children.forEach((child) => child.kill('SIGKILL'));
  process.on('exit', kill);
  return {
    log: () => log,
    /// Seconds of CPU so far.
    async cpu() {
      const fields = (await readFile(`/proc/${obs.pid}/stat`, 'latin1')).split(') ')[1].split(' ');
      return Math.round((Number(fields[11]) + Number(fields[12])) / 100);
    },
    async stop() {
      const ended = new Promise((done) => obs.once('exit', done));
      if (obs.exitCode === null && !obs.signalCode) {
        obs.kill('SIGINT');
        const hung = setTimeout(() => obs.kill('SIGKILL'), 10000);
        await ended;
        clearTimeout(hung);
      }
      kill();
      process.off('exit', kill);
      await rm(home, { recursive: true, force: true });
    },
  };
}

/// One scene with the film in it.
function scenes(path) {
  const item = { name: 'Film', id: 1, visible: true, pos: { x: 0, y: 0 }, scale: { x: 1, y: 1 }, rot: 0, align: 5, bounds_type: 0 };
  return {
    name: 'Film', current_scene: 'Scene', current_program_scene: 'Scene', scene_order: [{ name: 'Scene' }],
    sources: [
      { id: 'scene', versioned_id: 'scene', name: 'Scene', settings: { id_counter: 1, custom_size: false, items: [item] } },
      {
        id: 'ffmpeg_source', versioned_id: 'ffmpeg_source', name: 'Film', mixers: 255, volume: 1, muted: false,
        settings: { local_file: path, is_local_file: true, looping: true, hw_decode: false, restart_on_activate: false, close_when_inactive: false },
      },
    ],
  };
}
