#!/usr/bin/env node
// The demo room with 16 tiles in a real Chromium: frames per second of the page, and the work of its main thread for a frame, on a desktop of 1440
// pixels and on a phone of 390 pixels whose processor is four times slower.
//
//   node benches/tiles.mjs [--seconds S] [--tiles N] [--cameras N] [--fps F] [--profile FOLDER]
//
// Needs a build (`make build`, or ROTUNDA_BINARY=target/release/rotunda); ROTUNDA_PAGES=web/dist measures changed pages. The page is in the room as
// audience. Four members send speech and a camera, which is the most that a member receives; the other tiles have initials. Meanwhile a member leaves
// and another one enters every second, four messages a second arrive (chat, raised hands, reactions), and every two seconds the layout changes
// between grid, speaker view and grid beside the panel.
// Printed for each size: intervals of requestAnimationFrame (p50, p95, longest), tasks over 50 ms, and CPU milliseconds of the main thread for a frame
// of 60 a second, in all and of script, style and layout. Other programs on the machine make the intervals longer, but hardly change the CPU time: its
// budget is 16.7 ms. `--profile` writes a CPU profile of each size, for the performance panel of Chromium.
// Chromium on a desktop takes two or more videos that play for a conference, and then draws the whole page no more often than the fastest of them has
// frames (its VideoConferenceMatcher). The cameras therefore have 60 frames a second here; `--fps 15` shows a page of usual cameras, at 30.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { startBrowser, startServer, until } = await import(new URL('../tests/browser/support.mjs', import.meta.url));

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    tiles: { type: 'string', default: '16' },
    cameras: { type: 'string', default: '4' },
    fps: { type: 'string', default: '60' },
    profile: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  const [, ...lines] = readFileSync(new URL(import.meta.url), 'utf8').split('\n');
  console.log(lines.slice(0, lines.indexOf('')).map((line) => line.replace(/^\/\/ ?/, '')).join('\n'));
  process.exit();
}
const [seconds, tiles, cameras] = [values.seconds, values.tiles, values.cameras].map(Number);
const ROOM = 1001;
const PATIENCE = 120;
const SIZES = [
  { name: 'desktop', viewport: { width: 1440, height: 900 }, slower: 1 },
  { name: 'phone', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, slower: 4 },
];
const MOST_PER_FRAME = 1000 / 60;

/** In a page of its own: members without media. */
function members(room) {
  const sockets = new Map();
  const enter = async (userId) => {
    const ticket = await (await fetch('/demo/user-sig', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ userId }) })).json();
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`);
    let id = 0;
    const replies = new Map();
    const request = (op, fields) => new Promise((resolve, reject) => {
      id += 1;
      replies.set(id, ({ ok, error }) => (ok ? resolve() : reject(new Error(`${op}: ${error?.message}`))));
      socket.send(JSON.stringify({ id, op, ...fields }));
    });
    socket.onmessage = ({ data }) => {
      const reply = JSON.parse(data);
      replies.get(reply.id)?.(reply);
    };
    await new Promise((resolve, reject) => { Object.assign(socket, { onopen: resolve, onerror: reject }); });
    await request('login', { sdkAppId: ticket.sdkAppId, userId, userSig: ticket.userSig });
    await request('enterRoom', { roomId: room });
    sockets.set(userId, { socket, request });
  };
  const leave = async (userId) => {
    const { socket, request } = sockets.get(userId);
    sockets.delete(userId);
    await request('exitRoom', {});
    socket.close();
  };
  const say = (message) => {
    const one = [...sockets.values()][Math.floor(Math.random() * sockets.size)];
    return one?.request('sendCustomMessage', { cmdId: 10, data: btoa(JSON.stringify(message)) });
  };
  window.crowd = { enter, leave, say };
}

/** In the page: the intervals of its frames, and its long tasks. */
function watchFrames() {
  const seen = { intervals: [], long: [] };
  let before = performance.now();
  const frame = (now) => {
    seen.intervals.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => seen.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
  window.seen = seen;
}

const at = (numbers, share) => numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))] ?? 0;
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Members come, go and write, and the layout changes, for so many seconds. */
async function live(page, crowd, silent) {
  const messages = [{ kind: 'chat', text: 'Good morning!' }, { kind: 'hand', up: true }, { kind: 'react', with: 'heart' }, { kind: 'hand', up: false }];
  const layouts = [() => page.locator('#view').click(), () => page.locator('#view').click(), () => page.locator('#toggle-people').click(), () => page.locator('#toggle-people').click()];
  const until = performance.now() + seconds * 1000;
  for (let step = 0; performance.now() < until; step += 1) {
    const next = pause(250);
    await crowd.evaluate((message) => window.crowd.say(message), messages[step % messages.length]);
    if (step % 4 === 0) {
      const gone = silent.shift();
      const come = `guest-${step + 100}`;
      silent.push(come);
      await crowd.evaluate(async ([one, other]) => {
        await window.crowd.leave(one);
        await window.crowd.enter(other);
      }, [gone, come]);
    }
    if (step % 8 === 4) await layouts[((step - 4) / 8) % layouts.length]();
    await next;
  }
}

async function measure(browser, server, crowd, silent, { name, slower, ...device }) {
  const context = await browser.newContext({ ...device, locale: 'en-GB' });
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(error));
  await page.goto(`${server.url}/?room=${ROOM}&user=ann-${name}&role=audience&auto=1`);
  await until(page, `${tiles} tiles, ${cameras} with video`, ([all, live]) => (
    document.querySelectorAll('.tile').length === all && [...document.querySelectorAll('.tile video')].filter(({ videoWidth }) => videoWidth > 0).length === live
  ), [tiles, cameras], PATIENCE);
  const client = await context.newCDPSession(page);
  await client.send('Emulation.setCPUThrottlingRate', { rate: slower });
  await client.send('Performance.enable', { timeDomain: 'threadTicks' });
  if (values.profile) {
    await client.send('Profiler.enable');
    await client.send('Profiler.start');
  }
  const metrics = async () => new Map((await client.send('Performance.getMetrics')).metrics.map((one) => [one.name, one.value]));
  await page.evaluate(watchFrames);
  const [before, from] = [await metrics(), performance.now()];
  await live(page, crowd, silent);
  const [after, took] = [await metrics(), (performance.now() - from) / 1000];
  const { intervals, long } = await page.evaluate(() => window.seen);
  if (values.profile) {
    const { profile } = await client.send('Profiler.stop');
    mkdirSync(values.profile, { recursive: true });
    writeFileSync(join(values.profile, `${name}.cpuprofile`), JSON.stringify(profile));
  }
  const used = (metric) => after.get(metric) - before.get(metric);
  const perFrame = (metric) => ((used(metric) * 1000) / took / 60).toFixed(2);
  console.log(`${name}: ${(intervals.length / took).toFixed(1)} frames a second; intervals p50 ${at(intervals, 0.5).toFixed(1)}, p95 ${at(intervals, 0.95).toFixed(1)}, longest ${Math.max(...intervals).toFixed(0)} ms; ${long.length} tasks over 50 ms, longest ${Math.max(0, ...long).toFixed(0)} ms`);
  console.log(`  main thread: ${perFrame('TaskDuration')} ms of CPU for a frame of ${MOST_PER_FRAME.toFixed(1)} (script ${perFrame('ScriptDuration')}, style ${perFrame('RecalcStyleDuration')}, layout ${perFrame('LayoutDuration')}); a second: ${(used('LayoutCount') / took).toFixed(0)} layouts, ${(used('RecalcStyleCount') / took).toFixed(0)} styles`);
  await context.close();
}

const server = await startServer();
const browser = await startBrowser();
const talkers = Array.from({ length: cameras }, (_, index) => server.start('join', String(ROOM), '--user', `camera-${index}`, '--mark', String(index + 1), '--fps', values.fps, '--size', '320x180'));
try {
  const crowd = await (await browser.newContext()).newPage();
  await crowd.goto(`${server.url}/player.html`);
  await crowd.evaluate(members, ROOM);
  const silent = Array.from({ length: tiles - cameras - 1 }, (_, index) => `guest-${index}`);
  for (const userId of silent) await crowd.evaluate((one) => window.crowd.enter(one), userId);
  for (const size of SIZES) await measure(browser, server, crowd, silent, size);
} finally {
  for (const talker of talkers) await talker.stop();
  await browser.close();
  await server.stop();
}
