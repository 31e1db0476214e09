// The demo camera of device/demo as a process, with clips whose frames are marked, and what its viewer page shows of them.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, until } from './support.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
const demo = join(target, 'device/demo');
/** The same, built with AddressSanitizer and UndefinedBehaviorSanitizer. */
export const checkedDemo = join(target, 'device/demo-checked');

/** A reason to skip, or undefined. */
export function noDemo() {
  if (existsSync(demo)) return undefined;
  if (process.env.CI) throw new Error(`CI must have built ${demo}`);
  const reason = `SKIPPED: no ${demo} (make device-demo)`;
  console.error(reason);
  return reason;
}

const [WIDTH, HEIGHT] = [640, 360];

/** The 40 cells of a mark, as in mark.js. */
function cells(id, count) {
  const bytes = [id & 0xff, (count >> 8) & 0xff, count & 0xff];
  let crc = 0xff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
  }
  const bits = [...bytes, crc].flatMap((byte) => Array.from({ length: 8 }, (_, at) => (byte >> (7 - at)) & 1));
  return [1, 0, 1, 0, ...bits, 0, 1, 0, 1];
}

function frame(id, count) {
  const pixels = Buffer.alloc(WIDTH * HEIGHT, 60 + ((count * 3) % 120));
  const row = HEIGHT / 18;
  cells(id, count).forEach((bit, at) => {
    for (const [line, is] of [[1, bit], [2, 1 - bit]]) {
      for (let y = line * row; y < (line + 1) * row; y += 1) {
        pixels.fill(is ? 235 : 16, y * WIDTH + at * (WIDTH / 40), y * WIDTH + (at + 1) * (WIDTH / 40));
      }
    }
  });
  return pixels;
}

const ENCODERS = {
  h264: ['-c:v', 'libx264', '-profile:v', 'baseline', '-bf', '0', '-g', '25', '-keyint_min', '25', '-sc_threshold', '0'],
  h265: ['-c:v', 'libx265', '-x265-params', 'log-level=error:bframes=0:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1'],
};

/** Writes a clip of marked frames at 25 a second, a keyframe each second; the codec is by the file's ending, .h264 or .h265. */
export function markedClip(path, id, seconds) {
  const codec = path.split('.').pop();
  const frames = Buffer.concat(Array.from({ length: seconds * 25 }, (_, count) => frame(id, count)));
  const made = spawnSync('ffmpeg', [
    '-v', 'error', '-f', 'rawvideo', '-pix_fmt', 'gray', '-s', `${WIDTH}x${HEIGHT}`, '-r', '25', '-i', '-', '-pix_fmt', 'yuv420p',
    ...ENCODERS[codec], '-b:v', '600k', '-f', { h264: 'h264', h265: 'hevc' }[codec], '-y', path,
  ], { input: frames });
  if (made.status !== 0) throw new Error(`ffmpeg: ${made.stderr}`);
}

/** Starts a camera; `wrap`: a program that runs it, as valgrind. */
export async function startCamera(server, folder, { name = 'front', tickets = 3, options = [], url, clips, wrap = [], waits = 20, program: own = demo, env = {} } = {}) {
  const user = `cam_${name}`;
  const users = [user, ...Array.from({ length: tickets - 1 }, (_, at) => `${user}-${at + 1}`)];
  const keys = [];
  for (const one of users) keys.push((await server.run('user-sig', one)).trim());
  const card = join(folder, `card-${name}`);
  mkdirSync(card, { recursive: true });
  const [program, ...before] = [...wrap, own];
  const child = spawn(program, [
    ...before, '--server', url ?? `${server.url.replace('http', 'ws').replace('localhost', '127.0.0.1')}/ws`, '--product', 'cam', '--device', name,
    '--key', keys.join(' '), '--card', card, ...clips.flatMap((clip) => ['--clip', clip]), ...options,
  ], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let out = '';
  let err = '';
  child.stdout.on('data', (text) => { out += text; });
  child.stderr.on('data', (text) => { err += text; });
  const exited = once(child, 'exit');
  const camera = {
    user,
    card,
    pid: child.pid,
    output: () => out,
    errors: () => err,
    /** Waits for a line that matches and was not there at `from`. */
    says: (pattern, from = 0, seconds = 20) => eventually(`camera says ${pattern}`, () => pattern.exec(out.slice(from)), seconds)
      .catch((error) => { throw new Error(`${error.message}\n${out}\n${err}`); }),
    tell(line) { child.stdin.write(`${line}\n`); },
    /** The values of each stream's `status` line. */
    async status() {
      const from = out.length;
      this.tell('status');
      await this.says(/status end/, from);
      return out.slice(from).split('\n').filter((line) => line.startsWith('stream ')).map((line) => (
        Object.fromEntries(line.split(' ').slice(1).map((field) => field.split('=')).map(([key, value]) => [key, Number(value)]))));
    },
    async stop() {
      this.tell('quit');
      const [code, signal] = await exited;
      return { code, signal, out, err };
    },
    kill() { child.kill('SIGKILL'); },
  };
  try {
    await camera.says(/event 0 /, 0, waits);
  } catch (error) {
    // A camera that goes on would keep the test's process alive for ever.
    child.kill('SIGKILL');
    throw error;
  }
  return camera;
}

/** A recording on the card. */
export function record(camera, begin, seconds, id) {
  const name = `${begin}-${begin + seconds}.h264`;
  markedClip(join(camera.card, name), id, seconds);
  return name;
}

/** A TCP proxy that can be cut and restored. */
export async function startProxy(port) {
  const sockets = new Set();
  let isCut = false;
  const proxy = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(port, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => { sockets.delete(one); other.destroy(); });
      one.pipe(other);
    }
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    port: proxy.address().port,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() { isCut = false; },
    close() {
      this.cut();
      proxy.close();
    },
  };
}

/** In the page: the mark of the frame that is shown. */
export const mark = () => window.frameMark.readVideo(document.querySelector('#video'));
export const shows = (id) => `(${mark})()?.id === ${id} && (${mark})()`;

/** Waits for a frame of this clip, and for a later one. */
export async function frames(page, id, seconds = 30) {
  const first = await until(page, `a frame of ${id}`, shows(id), undefined, seconds);
  await until(page, `another frame of ${id}`, `(() => { const mark = (${mark})(); return mark?.id === ${id} && mark.count !== ${first.count}; })()`, undefined, 10);
}

/** Waits until the page names this path. */
export const badge = (page, text, seconds = 20) => until(page, `path ${text}`, (wanted) => document.querySelector('#path').textContent === wanted, text, seconds);
