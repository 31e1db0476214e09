#!/usr/bin/env node
// A viewer behind a bad network: Chromium in one namespace, the server with a publisher in another, a cable with loss, delay
// and a rate limit between them. A second Chromium beside the server is the clock: what it shows of the same frame marks says
// how much later the viewer shows them.
//
//   sudo node benches/network.mjs [--link PROGRAM] [--server BINARY] [--camera vp8|vp9|av1] [--rates KBIT,KBIT]
//     [good|loss|jitter|narrow ...]
//
// `narrow`: a Chromium publishes its camera with that codec, and the cable carries so much, one after the other.
// PROGRAM: netem_link (default: built from ../shared/tools/netem_link). Prints a line of JSON for each scenario.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createRequire } from 'node:module';

const root = fileURLToPath(new URL('..', import.meta.url));
const { chromium } = createRequire(join(root, 'tests/browser/package.json'))('playwright-core');
const marks = readFileSync(join(root, 'tests/browser/mark.js'), 'utf8');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    link: { type: 'string' },
    server: { type: 'string', default: join(root, 'target/release/rotunda') },
    codec: { type: 'string', default: 'vp8' },
    camera: { type: 'string', default: 'vp8' },
    rates: { type: 'string', default: '1000,500,1000' },
  },
});

const SERVER = '10.78.0.1';
const folder = mkdtempSync(join(tmpdir(), 'network-'));
const names = { server: `rot-s${process.pid}`, viewer: `rot-v${process.pid}` };
const children = [];
const sleep = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

/** The cable; `set` changes it while it runs. */
function startLink() {
  let program = values.link;
  if (!program) {
    program = join(folder, 'netem_link');
    const source = join(root, '../shared/tools/netem_link/netem_link.c');
    if (!existsSync(source)) throw new Error('no netem_link: give it with --link');
    execFileSync('cc', ['-O2', '-o', program, source]);
  }
  const control = join(folder, 'link');
  const child = spawn(program, [
    '-a', `${names.server}:cable:${SERVER}/24`, '-b', `${names.viewer}:cable:10.78.0.2/24`, '-c', control, '-k',
  ], { stdio: 'inherit' });
  children.push(child);
  return {
    /** `direction`: ab (to the viewer), ba or both. */
    async set(direction, spec) {
      const text = `${direction} ${spec}`;
      execFileSync('python3', ['-c', `
import socket, sys, os, tempfile
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.path.join(tempfile.mkdtemp(), "c"))
s.settimeout(3)
s.sendto(sys.argv[2].encode(), sys.argv[1])
s.recv(4096)`, control, text]);
    },
  };
}

async function startServer() {
  const env = {
    ...process.env,
    ROTUNDA__SERVER__DATA: folder,
    ROTUNDA__RECORDER__DIRECTORY: join(folder, 'recordings'),
    ROTUNDA__SFU__WORKERS: '1',
    ROTUNDA__SFU__ADVERTISE: `["${SERVER}"]`,
    ROTUNDA__SERVER__LOG: 'warn',
  };
  const inside = (...args) => ['netns', 'exec', names.server, values.server, ...args];
  const server = spawn('ip', inside('serve'), { env, cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(server);
  await new Promise((resolve, reject) => {
    server.stdout.on('data', (text) => { if (String(text).includes('ready')) resolve(); });
    server.on('exit', (code) => reject(new Error(`the server ended with ${code}`)));
  });
  server.removeAllListeners('exit');
  return {
    run: (...args) => execFileSync('ip', inside(...args), { env, cwd: folder, encoding: 'utf8' }).trim(),
    start(...args) {
      children.push(spawn('ip', inside(...args), { env, cwd: folder, stdio: 'ignore' }));
    },
  };
}

/** Chromium in a namespace. */
function startBrowser(namespace, user) {
  const wrapper = join(folder, `chromium-${user}`);
  writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${namespace} ${process.env.CHROMIUM ?? '/usr/bin/chromium'} "$@"\n`);
  chmodSync(wrapper, 0o755);
  return chromium.launch({
    executablePath: wrapper,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--autoplay-policy=no-user-gesture-required',
      '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
      `--unsafely-treat-insecure-origin-as-secure=http://${SERVER}:8080`,
    ],
  });
}

/** A publisher of three simulcast layers, by the demo page. */
async function startPublisher(server, user) {
  const browser = await startBrowser(names.server, user);
  const page = await browser.newPage();
  await page.addInitScript(`${marks}\nmarkedDevices(9, 700, 1280, 720);`);
  await page.goto(`http://${SERVER}:8080/?room=1&user=${user}&codec=${values.camera}&auto=1&audioProcessing=off`);
  await sleep(4);
  return browser;
}

/** What the server knows of a member's connection. */
async function statistics(user) {
  const secrets = readFileSync(join(folder, 'secrets.toml'), 'utf8');
  const [id, secret] = ['secret_id', 'api_secret'].map((key) => new RegExp(`${key} = "([^"]+)"`).exec(secrets)[1]);
  const app = /sdk_app_id = (\d+)/.exec(secrets)[1];
  const text = execFileSync('ip', ['netns', 'exec', names.server, 'curl', '-s', '-H', `Authorization: Bearer ${id}:${secret}`,
    `http://${SERVER}:8080/api/rooms/1/members/${user}/statistics?sdkAppId=${app}`], { encoding: 'utf8' });
  return JSON.parse(text);
}

/** A WHEP viewer in a Chromium of its own in a namespace; its page keeps what it has shown and when. */
async function startViewer(namespace, server, user, publishers) {
  const browser = await startBrowser(namespace, user);
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`${user}:`, error));
  await page.goto(`http://${SERVER}:8080/player.html`);
  await page.addScriptTag({ content: marks });
  for (const publisher of publishers) {
    const ticket = server.run('user-sig', `${user}-${publisher}`);
    await page.evaluate(async ([endpoint, token, name]) => {
      const peer = new RTCPeerConnection();
      peer.addTransceiver('audio', { direction: 'recvonly' });
      peer.addTransceiver('video', { direction: 'recvonly' });
      await peer.setLocalDescription(await peer.createOffer());
      const answer = await fetch(endpoint, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/sdp' },
        body: peer.localDescription.sdp,
      });
      if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
      const video = Object.assign(document.createElement('video'), { autoplay: true });
      document.body.append(video);
      const stream = new MediaStream();
      video.srcObject = stream;
      peer.ontrack = ({ track }) => stream.addTrack(track);
      await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
      const state = { peer, shown: [] };
      const look = (now) => {
        const mark = window.frameMark.readVideo(video);
        if (mark) state.shown.push([mark.count, performance.timeOrigin + now]);
        video.requestVideoFrameCallback(look);
      };
      video.requestVideoFrameCallback(look);
      (window.viewers ??= {})[name] = state;
    }, [`http://${SERVER}:8080/whep/1/${publisher}`, ticket, publisher]);
  }
  return {
    page,
    close: () => browser.close(),
    /** Statistics of a publisher's sound and picture as they are now. */
    statistics: (publisher) => page.evaluate(async (name) => {
      const all = [...(await window.viewers[name].peer.getStats()).values()];
      const find = (kind) => all.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind) ?? {};
      const [audio, video] = [find('audio'), find('video')];
      return {
        at: performance.now() / 1000,
        samples: audio.totalSamplesReceived ?? 0,
        concealed: (audio.concealedSamples ?? 0) - (audio.silentConcealedSamples ?? 0),
        audioLost: audio.packetsLost ?? 0,
        audioPackets: audio.packetsReceived ?? 0,
        fec: audio.fecPacketsReceived ?? 0,
        fecDiscarded: audio.fecPacketsDiscarded ?? 0,
        jitterDelay: audio.jitterBufferDelay ?? 0,
        emitted: audio.jitterBufferEmittedCount ?? 0,
        frames: video.framesDecoded ?? 0,
        freezes: video.freezeCount ?? 0,
        frozen: video.totalFreezesDuration ?? 0,
        bytes: video.bytesReceived ?? 0,
        resent: video.retransmittedPacketsReceived ?? 0,
        lost: video.packetsLost ?? 0,
        packets: video.packetsReceived ?? 0,
        nacks: video.nackCount ?? 0,
        plis: video.pliCount ?? 0,
        height: video.frameHeight ?? 0,
        codec: all.find((entry) => entry.id === audio.codecId)?.mimeType,
      };
    }, publisher),
    shown: (publisher) => page.evaluate((name) => window.viewers[name].shown.splice(0), publisher),
  };
}

const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

/** What the viewer had between two looks: rates, and how much later than beside the server each frame was shown. */
async function measure(viewer, reference, publisher, seconds) {
  await viewer.shown(publisher);
  await reference.shown(publisher);
  const before = await viewer.statistics(publisher);
  await sleep(seconds);
  const after = await viewer.statistics(publisher);
  const early = new Map(await reference.shown(publisher));
  const late = await viewer.shown(publisher);
  const delays = late.filter(([count]) => early.has(count)).map(([count, at]) => at - early.get(count)).sort((a, b) => a - b);
  const time = after.at - before.at;
  const difference = (name) => after[name] - before[name];
  const round = (value, digits = 1) => Number(value.toFixed(digits));
  return {
    seconds: round(time),
    fps: round(difference('frames') / time),
    freezes: difference('freezes'),
    frozenSeconds: round(difference('frozen'), 2),
    laterMs: { p50: round(percentile(delays, 0.5) ?? NaN), p95: round(percentile(delays, 0.95) ?? NaN), of: delays.length },
    concealedPercent: round((100 * difference('concealed')) / difference('samples'), 2),
    audioDelayMs: round((1000 * difference('jitterDelay')) / Math.max(1, difference('emitted'))),
    kbps: round((8 * difference('bytes')) / time / 1000),
    audio: { packets: difference('audioPackets'), lost: difference('audioLost'), fec: difference('fec'), fecDiscarded: difference('fecDiscarded') },
    video: { packets: difference('packets'), lost: difference('lost'), resent: difference('resent'), nacks: difference('nacks'), plis: difference('plis'), height: after.height },
  };
}

/** Seconds from now until frames are shown again within `within` ms of those beside the server, for half a second. */
async function liveAgain(viewer, reference, publisher, within) {
  const began = Date.now();
  let since;
  const early = new Map();
  while (Date.now() - began < 20_000) {
    await sleep(0.1);
    for (const [count, at] of await reference.shown(publisher)) early.set(count, at);
    for (const [count, at] of await viewer.shown(publisher)) {
      if (!early.has(count)) continue;
      if (at - early.get(count) > within) since = undefined;
      else since ??= at;
    }
    if (since && Date.now() - since > 500) return Number(Math.max(0, (since - began) / 1000).toFixed(2));
  }
  return null;
}

const scenarios = {
  async good({ viewer, reference }) {
    return measure(viewer, reference, 'ann', 8);
  },
  async loss({ link, viewer, reference }) {
    await link.set('both', 'clear,loss=30,delay=40');
    await sleep(6);
    return measure(viewer, reference, 'ann', 20);
  },
  async jitter({ link, viewer, reference }) {
    await link.set('both', 'clear,delay=20');
    await sleep(4);
    await link.set('ab', 'clear,delay=20:800');
    await sleep(5);
    await link.set('ab', 'clear,delay=20');
    const seconds = await liveAgain(viewer, reference, 'ann', 400);
    return { liveAgainSeconds: seconds, after: await measure(viewer, reference, 'ann', 6) };
  },
  async narrow({ link, server, viewer: other }) {
    await other.close();
    const browser = await startPublisher(server, 'cam');
    const viewer = await startViewer(names.viewer, server, 'far', ['cam']);
    await sleep(10);
    const result = { wide: await estimates(viewer, 'cam', 5) };
    result.narrow = [];
    for (const rate of values.rates.split(',')) {
      await link.set('ab', `clear,delay=20,rate=${rate},queue=300`);
      await sleep(5);
      result.narrow.push({ rate, ...await estimates(viewer, 'cam', 15) });
    }
    await viewer.close();
    await browser.close();
    return result;
  },
};

/** The estimate of the far viewer's link once a second, and what he saw meanwhile. */
async function estimates(viewer, publisher, seconds) {
  const found = [];
  const before = await viewer.statistics(publisher);
  for (let second = 0; second < seconds; second += 1) {
    await sleep(1);
    const known = await statistics(`far-${publisher}`);
    found.push(known.downlinkEstimate);
  }
  const after = await viewer.statistics(publisher);
  const sorted = [...found].sort((a, b) => a - b);
  return {
    kbps: { least: Math.round(sorted[0] / 1000), median: Math.round(percentile(sorted, 0.5) / 1000), most: Math.round(sorted.at(-1) / 1000) },
    height: after.height,
    fps: Number(((after.frames - before.frames) / (after.at - before.at)).toFixed(1)),
    freezes: after.freezes - before.freezes,
    frozenSeconds: Number((after.frozen - before.frozen).toFixed(2)),
  };
}

async function main() {
  ip('netns', 'add', names.server);
  ip('netns', 'add', names.viewer);
  for (const namespace of Object.values(names)) ip('-n', namespace, 'link', 'set', 'lo', 'up');
  const link = startLink();
  for (let tries = 0; ; tries += 1) {
    try {
      if (String(ip('-n', names.viewer, 'link', 'show', 'cable')).includes('UP')) break;
    } catch (error) {
      if (tries > 50) throw error;
    }
    await sleep(0.1);
  }
  const server = await startServer();
  server.start('join', '1', '--user', 'ann', '--mark', '7', '--codec', values.codec);
  await sleep(2);
  const reference = await startViewer(names.server, server, 'near', ['ann']);
  const viewer = await startViewer(names.viewer, server, 'far', ['ann']);
  await sleep(3);
  for (const name of positionals.length ? positionals : Object.keys(scenarios)) {
    const result = await scenarios[name]({ link, viewer, reference, server });
    console.log(JSON.stringify({ scenario: name, ...result }));
    await link.set('both', 'clear');
    await sleep(3);
  }
  if (!positionals.includes('narrow')) await viewer.close();
  await reference.close();
}

try {
  await main();
} finally {
  for (const child of children) child.kill('SIGTERM');
  await Promise.race([Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit'))), sleep(5)]);
  for (const namespace of Object.values(names)) {
    try { ip('netns', 'del', namespace); } catch { /* was not made */ }
  }
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
