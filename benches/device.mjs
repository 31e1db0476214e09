#!/usr/bin/env node
// Cost of the device library: CPU and memory of the demo camera with one viewer in Chromium, at 1080p with 30 frames a second and
// about 4 Mbit/s; directly, and through the server.
//
//   node benches/device.mjs [--seconds S] [--path direct|server] [--demo FILE] [--trace]
//
// Needs `make device-demo` (or --demo: a demo that is linked with a release build of the library), Chromium and ffmpeg. Anonymous memory
// is the process's own: heap, stacks and data, without the pages of program files. The application's buffers are the clip that the demo
// has in memory, and its table of frames; the rest of the anonymous memory counts for the library.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const here = new URL('../tests/browser/', import.meta.url);
const { startCamera } = await import(new URL('device_camera.mjs', here));
const { startBrowser, startServer, until } = await import(new URL('support.mjs', here));

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    path: { type: 'string' },
    demo: { type: 'string' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  const [, ...lines] = readFileSync(new URL(import.meta.url), 'utf8').split('\n');
  console.log(lines.slice(0, lines.indexOf('')).map((line) => line.replace(/^\/\/ ?/, '')).join('\n'));
  process.exit();
}
const seconds = Number(values.seconds);
const FPS = 30;
/** Of the demo's table: offset, length, kind. */
const FRAME_ENTRY = 24;
/** Bytes: the goal of the library, beside the application's buffers. */
const GOAL = 4 * 1024 * 1024;

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Seconds of CPU that a process has had. */
function cpu(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Bytes of a process, from `smaps_rollup`. */
function memory(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)[1]) * 1024;
  return { resident: of('Rss'), anonymous: of('Anonymous') };
}

const mebibytes = (bytes) => `${(bytes / 1024 / 1024).toFixed(2)} MiB`;

const folder = mkdtempSync(join(tmpdir(), 'rotunda-bench-'));
const clip = join(folder, 'clip.h264');
const made = spawnSync('ffmpeg', [
  '-v', 'error', '-f', 'lavfi', '-i', `testsrc2=size=1920x1080:rate=${FPS}`, '-t', '8', '-pix_fmt', 'yuv420p', '-c:v', 'libx264',
  '-preset', 'veryfast', '-profile:v', 'baseline', '-bf', '0', '-g', '60', '-b:v', '4M', '-maxrate', '4M', '-bufsize', '1M', '-f', 'h264', '-y', clip,
]);
if (made.status !== 0) throw new Error(`ffmpeg: ${made.stderr}`);
const buffers = statSync(clip).size + 8 * FPS * FRAME_ENTRY;

const server = await startServer();
const browser = await startBrowser();
const results = [];
for (const path of values.path ? [values.path] : ['direct', 'server']) {
  const camera = await startCamera(server, folder, {
    name: path, clips: [clip], options: ['--size', '1920x1080', '--fps', String(FPS)], ...(values.demo ? { program: values.demo } : {}),
  });
  await pause(1000);
  const idle = memory(camera.pid);
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(`${server.url}/device.html?device=${camera.user}&user=viewer-${path}${path === 'server' ? '&direct=off' : ''}`);
  const shown = path === 'server' ? 'Through the server' : 'Direct';
  await until(page, shown, (text) => document.querySelector('#path').textContent === text && document.querySelector('#video').videoWidth === 1920, shown, 40);
  await pause(3000);
  const [from, before] = [cpu(camera.pid), await camera.status()];
  let most = { resident: 0, anonymous: 0 };
  for (let second = 0; second < seconds; second += 1) {
    await pause(1000);
    const now = memory(camera.pid);
    most = now.anonymous > most.anonymous ? now : most;
    if (values.trace) console.log(path, second, mebibytes(now.anonymous), mebibytes(now.resident));
  }
  const share = (cpu(camera.pid) - from) / seconds;
  const [link] = await camera.status();
  const frames = (link.frames - before[0].frames) / seconds;
  results.push({ path, idle, most, share, frames, refused: link.refused - before[0].refused, rate: link.acked_rate });
  await page.close();
  await camera.stop();
}
await browser.close();
await server.stop();
rmSync(folder, { recursive: true, force: true });

console.log(`application's buffers: ${mebibytes(buffers)}`);
for (const { path, idle, most, share, frames, refused, rate } of results) {
  const own = most.anonymous - buffers;
  console.log(`${path}: ${frames.toFixed(1)} frames/s (${refused} refused), ${(rate * 8 / 1e6).toFixed(1)} Mbit/s acknowledged, ${(share * 100).toFixed(1)} % of a core`);
  console.log(`  memory beside the application's buffers: ${mebibytes(own)} (goal ${mebibytes(GOAL)}: ${own <= GOAL ? 'reached' : 'MISSED'}), ${mebibytes(idle.anonymous - buffers)} before the viewer came`);
  console.log(`  resident, with program files: ${mebibytes(most.resident)}`);
}
process.exitCode = results.every(({ most }) => most.anonymous - buffers <= GOAL) ? 0 : 1;
