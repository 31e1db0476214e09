// The demo camera of device/demo as a process, with clips whose frames are marked.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './support.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
export const demo = join(target, 'device/demo');

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

/** Writes an H.264 clip of marked frames at 25 fps, with a keyframe each second. */
export function markedClip(path, id, seconds) {
  const frames = Buffer.concat(Array.from({ length: seconds * 25 }, (_, count) => frame(id, count)));
  const made = spawnSync('ffmpeg', [
    '-v', 'error', '-f', 'rawvideo', '-pix_fmt', 'gray', '-s', `${WIDTH}x${HEIGHT}`, '-r', '25', '-i', '-', '-pix_fmt', 'yuv420p',
    '-c:v', 'libx264', '-profile:v', 'baseline', '-bf', '0', '-g', '25', '-keyint_min', '25', '-sc_threshold', '0',
    '-b:v', '600k', '-f', 'h264', '-y', path,
  ], { input: frames });
  if (made.status !== 0) throw new Error(`ffmpeg: ${made.stderr}`);
}

/** Starts a camera; `wrap`: a program that runs it, for example valgrind. */
export async function startCamera(server, folder, { name = 'front', tickets = 3, options = [], url, clips, wrap = [], waits = 20 } = {}) {
  const user = `cam_${name}`;
  const users = [user, ...Array.from({ length: tickets - 1 }, (_, at) => `${user}-${at + 1}`)];
  const keys = [];
  for (const one of users) keys.push((await server.run('user-sig', one)).trim());
  const card = join(folder, `card-${name}`);
  mkdirSync(card, { recursive: true });
  const [program, ...before] = [...wrap, demo];
  const child = spawn(program, [
    ...before, '--server', url ?? `${server.url.replace('http', 'ws').replace('localhost', '127.0.0.1')}/ws`, '--product', 'cam', '--device', name,
    '--key', keys.join(' '), '--card', card, ...clips.flatMap((clip) => ['--clip', clip]), ...options,
  ], { stdio: ['pipe', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (text) => { out += text; });
  child.stderr.on('data', (text) => { err += text; });
  const exited = once(child, 'exit');
  const camera = {
    user,
    card,
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
  await camera.says(/event 0 /, 0, waits);
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

