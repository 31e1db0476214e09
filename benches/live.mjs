#!/usr/bin/env node
// CPU of HTTP-FLV players beside players of nginx's RTMP module: the same 1.5 Mbit/s program, in one run, in pairs.
//
//   node benches/live.mjs [--players N] [--seconds S] [--rounds R] [--kbps K]
//
// Needs a build (`make build`, or ROTUNDA_BINARY=target/release/rotunda), ffmpeg and nginx with its RTMP module (Debian: nginx, libnginx-mod-rtmp), and a quiet machine. A
// member publishes noisy frames, so that a mix of them, the program, has that bitrate; ffmpeg copies it to nginx. In each round N players read from one server, then N
// from the other; the CPU of the server's process without players is taken off. Printed for each: milliseconds of CPU per player and second, the
// bytes that players got, and the memory that they added.

import { execFileSync, spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { startServer, eventually } = await import(new URL('../tests/browser/support.mjs', import.meta.url));

const { values } = parseArgs({
  options: {
    players: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    kbps: { type: 'string', default: '1500' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  const [, ...lines] = readFileSync(new URL(import.meta.url), 'utf8').split('\n');
  console.log(lines.slice(0, lines.indexOf('')).map((line) => line.replace(/^\/\/ ?/, '')).join('\n'));
  process.exit();
}
const [count, seconds, rounds] = [values.players, values.seconds, values.rounds].map(Number);
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Seconds of CPU that a process has had. */
function cpu(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident bytes of a process. */
const memory = (pid) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

/** A player that throws everything away. `begin` sends its request. */
class Player {
  received = 0;

  constructor(port, begin) {
    this.socket = createConnection(port, '127.0.0.1');
    this.ready = new Promise((resolve, reject) => {
      this.socket.on('error', reject);
      begin(this.socket, (bytes) => {
        this.received += bytes;
        resolve();
      });
    });
    this.ready.catch(() => {});
  }

  close() {
    this.socket.destroy();
  }
}

function playFlv(port, path) {
  return new Player(port, (socket, got) => {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    socket.on('data', (data) => got(data.length));
  });
}

// RTMP, as far as a player needs it: the simple handshake and three commands of AMF 0.

const number = (value) => { const bytes = Buffer.alloc(9); bytes.writeDoubleBE(value, 1); return bytes; };
const string = (text) => Buffer.concat([Buffer.from([2, 0, text.length]), Buffer.from(text)]);
const NULL = Buffer.from([5]);

function object(entries) {
  const pairs = Object.entries(entries).map(([key, value]) => Buffer.concat([Buffer.from([0, key.length]), Buffer.from(key), string(value)]));
  return Buffer.concat([Buffer.from([3]), ...pairs, Buffer.from([0, 0, 9])]);
}

/** A command in chunks of 128 bytes. */
function command(streamId, ...values) {
  const body = Buffer.concat(values);
  const head = Buffer.alloc(12);
  head[0] = 3;
  head.writeUIntBE(body.length, 4, 3);
  head[7] = 20;
  head.writeUInt32LE(streamId, 8);
  const chunks = [head];
  for (let at = 0; at < body.length; at += 128) {
    if (at > 0) chunks.push(Buffer.from([0xc3]));
    chunks.push(body.subarray(at, at + 128));
  }
  return Buffer.concat(chunks);
}

function playRtmp(port, app, stream) {
  return new Player(port, (socket, got) => {
    let head = Buffer.alloc(0);
    socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(1536)]));
    socket.on('data', (data) => {
      if (head === null) {
        got(data.length);
        return;
      }
      head = Buffer.concat([head, data]);
      if (head.length < 1 + 2 * 1536) return;
      const answer = head.subarray(1, 1537);
      head = null;
      socket.write(Buffer.concat([
        answer,
        command(0, string('connect'), number(1), object({ app, tcUrl: `rtmp://127.0.0.1:${port}/${app}` })),
        command(0, string('createStream'), number(2), NULL),
        command(1, string('play'), number(0), NULL, string(stream)),
      ]));
    });
  });
}

/** One measurement: CPU and memory of a process while players read. */
async function measure(pid, play) {
  const idleFrom = cpu(pid);
  await pause(seconds * 1000);
  const idle = cpu(pid) - idleFrom;
  const memoryBefore = memory(pid);
  const players = [];
  for (let index = 0; index < count; index += 1) {
    players.push(play());
    if (index % 20 === 19) await pause(20);
  }
  await Promise.all(players.map((player) => player.ready));
  await pause(3000);
  const before = players.reduce((sum, player) => sum + player.received, 0);
  const from = cpu(pid);
  await pause(seconds * 1000);
  const used = cpu(pid) - from - idle;
  const bytes = players.reduce((sum, player) => sum + player.received, 0) - before;
  const added = memory(pid) - memoryBefore;
  for (const player of players) player.close();
  await pause(1000);
  return {
    milliseconds: (used * 1000) / count / seconds,
    kbps: (bytes * 8) / 1000 / count / seconds,
    kibibytes: added / 1024 / count,
  };
}

const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
};

const folder = mkdtempSync(join(tmpdir(), 'rotunda-bench-'));
const rtmpPort = 20000 + (process.pid % 10000);
writeFileSync(join(folder, 'nginx.conf'), `
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
worker_rlimit_nofile 20000;
events { worker_connections 10000; }
rtmp { server { listen 127.0.0.1:${rtmpPort}; chunk_size 4096; application live { live on; } } }
`);
const clip = join(folder, 'noise.mp4');
execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30:duration=4', '-f', 'lavfi', '-i', 'sine=duration=4',
  '-vf', 'noise=alls=12:allf=t', '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-b:v', '6M', '-c:a', 'aac', clip]);
const server = await startServer();
const nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' });
const member = server.start('join', '1001', '--user', 'ann', '--fps', '30', '--size', '1280x720', '--clip', clip);
let copy;
try {
  await eventually('the mix starts', async () => {
    try {
      await server.run('mix', 'start', '1001', '--stream-id', 'bench', '--size', '1280x720', '--video-kbps', values.kbps);
      return true;
    } catch { return false; }
  }, 60);
  const httpPort = Number(new URL(server.url).port);
  await eventually('the mix is on the air', async () => (await fetch(`${server.url}/live/bench.m3u8`)).ok, 60);
  copy = spawn('ffmpeg', ['-v', 'error', '-i', `${server.url}/live/bench.flv`, '-c', 'copy', '-f', 'flv', `rtmp://127.0.0.1:${rtmpPort}/live/bench`], { stdio: 'ignore' });
  await pause(5000);
  const sides = [
    ['rotunda, HTTP-FLV', () => measure(server.pid, () => playFlv(httpPort, '/live/bench.flv'))],
    ['nginx, RTMP', () => measure(nginx.pid, () => playRtmp(rtmpPort, 'live', 'bench'))],
  ];
  const results = new Map(sides.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of round % 2 ? sides.toReversed() : sides) {
      const result = await run();
      results.get(name).push(result);
      console.log(`${name}: ${result.milliseconds.toFixed(3)} ms of CPU a player and second, ${result.kbps.toFixed(0)} kbit/s, ${result.kibibytes.toFixed(0)} KiB a player`);
    }
  }
  const [ours, theirs] = sides.map(([name]) => results.get(name).map(({ milliseconds }) => milliseconds));
  const ratios = ours.map((value, round) => value / theirs[round]);
  console.log(`median ratio of ${rounds} pairs: ${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}); players of rotunda on one core: ${(1000 / median(ours)).toFixed(0)}`);
} finally {
  copy?.kill('SIGKILL');
  nginx.kill('SIGKILL');
  await member.stop();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
