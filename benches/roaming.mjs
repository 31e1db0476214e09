#!/usr/bin/env node
// A member changes networks. Chromium, on the demo page, publishes and watches over one link; that goes down and
// another one, with another address, comes up. Measures how long until the member sees the others and is seen
// again, and whether the member stayed in the room.
//
//   sudo node benches/roaming.mjs [--link PROGRAM] [--server BINARY] [--trace] [overlap|gap|silence|long ...]
//
// Prints a line of JSON per scenario. Seconds count from the moment when the new network is up and the old one is
// down. `overlap`: the new network comes 4 s before the old one goes; `gap`: 1 s without a network; `silence`: 10
// s; `long`: 25 s, a little less than the server keeps a silent media session.

import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { SERVER, ip, onStage, options, sleep } from './namespaces.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { ...options, trace: { type: 'boolean', default: false } },
});
const NETWORKS = [{ name: 'wifi', network: '10.78.0' }, { name: 'mobile', network: '10.79.0' }];
/** Milliseconds in each direction. */
const DELAY = 20;
/** Seconds. Chromium for Linux gathers events of its networks for 2 s before it processes them. */
const OVERLAP = 4;

const scenarios = { overlap: 0, gap: 1, silence: 10, long: 25 };

/** Records in a page when each new frame of a user is shown. */
function note(user) {
  const state = { shown: [], left: 0, media: [], log: [] };
  const log = (what) => state.log.push([Date.now(), what]);
  for (const name of ['online', 'offline']) addEventListener(name, () => log(name));
  window.rotunda.room.on('reconnecting', (is) => log(is ? 'signaling lost' : 'signaling back'));
  let connection;
  setInterval(() => {
    const now = window.rotunda.peerConnection();
    if (!now || now === connection) return;
    connection = now;
    now.addEventListener('iceconnectionstatechange', () => log(now.iceConnectionState));
    now.addEventListener('icegatheringstatechange', () => log(now.iceGatheringState));
    now.addEventListener('signalingstatechange', () => log(now.signalingState));
    now.addEventListener('icecandidate', ({ candidate }) => log(candidate?.candidate));
  }, 50);
  window.noted = state;
  window.rotunda.room.signaling.on('event', ({ event, ...about }) => {
    if (event === 'memberLeft' && about.userId === user) state.left += 1;
    if (event === 'mediaState') state.media.push(about.state);
  });
  const follow = (video) => {
    const look = () => {
      const mark = window.frameMark.readVideo(video);
      if (mark && mark.count !== state.shown.at(-1)?.count) state.shown.push({ count: mark.count, at: Date.now() });
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  };
  const known = new WeakSet();
  setInterval(() => {
    const video = document.querySelector(`video[data-user="${user}"]`);
    if (!video || known.has(video)) return;
    known.add(video);
    follow(video);
  }, 20);
}

/** Seconds from `since` to the first frame shown after it, and the longest time without a new frame around it. */
async function resumed(page, since, before) {
  const shown = await page.evaluate(() => window.noted.shown);
  const later = shown.filter(({ at }) => at >= since);
  const around = shown.filter(({ at }) => at >= before - 500);
  const gaps = around.slice(1).map(({ at }, index) => at - around[index].at);
  const next = later.find((_, index) => later[index + 4]?.at - later[index].at < 1000);
  return {
    seconds: next ? (next.at - since) / 1000 : null,
    longestGap: Math.max(...gaps) / 1000,
  };
}

await onStage(['server', 'member'], values, async (stage) => {
  const links = {};
  for (const { name, network } of NETWORKS) {
    links[name] = await stage.startLink('member', name, network);
    await links[name].set('both', `clear,delay=${DELAY}`);
  }
  const { member } = stage.namespaces;
  // Packets from an address use its own network or none.
  NETWORKS.forEach(({ network }, index) => {
    ip('-n', member, 'rule', 'add', 'from', `${network}.2`, 'lookup', String(100 + index), 'prio', '100');
    ip('-n', member, 'rule', 'add', 'from', `${network}.2`, 'unreachable', 'prio', '200');
  });
  const up = ({ name, network }) => {
    ip('-n', member, 'link', 'set', name, 'up');
    const table = String(100 + NETWORKS.findIndex((one) => one.name === name));
    for (const of of ['main', table]) {
      ip('-n', member, 'route', 'replace', `${SERVER}/32`, 'via', `${network}.1`, 'dev', name, 'src', `${network}.2`, 'table', of);
    }
  };
  const down = ({ name }) => ip('-n', member, 'link', 'set', name, 'down');
  for (const namespace of Object.values(stage.namespaces)) {
    execFileSync('ip', ['netns', 'exec', namespace, 'sh', '-c', 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done']);
  }
  down(NETWORKS[1]);
  up(NETWORKS[0]);
  await stage.startServer();
  const near = await stage.enterByPage('server', 'near', { mark: 7, size: [640, 360], codec: 'vp8' });
  const far = await stage.enterByPage('member', 'far', { mark: 9, size: [640, 360], codec: 'vp8' });
  await near.page.evaluate(note, 'far');
  await far.page.evaluate(note, 'near');
  await sleep(5);
  let [now, next] = NETWORKS;
  for (const name of positionals.length ? positionals : Object.keys(scenarios)) {
    for (const { page } of [near, far]) await page.evaluate(() => Object.assign(window.noted, { shown: [], left: 0, media: [], log: [] }));
    await sleep(2);
    const before = Date.now();
    if (name === 'overlap') {
      up(next);
      await sleep(OVERLAP);
      down(now);
    } else {
      down(now);
      await sleep(scenarios[name]);
      up(next);
    }
    const since = Date.now();
    await sleep(8);
    const [sees, seen] = [await resumed(far.page, since, before), await resumed(near.page, since, before)];
    console.log(JSON.stringify({
      scenario: name,
      from: now.name,
      seesOthers: sees,
      isSeen: seen,
      left: await near.page.evaluate(() => window.noted.left),
      newSessions: (await far.page.evaluate(() => window.noted.media)).filter((state) => state === 'disconnected').length,
    }));
    if (values.trace) {
      for (const [at, what] of await far.page.evaluate(() => window.noted.log)) console.log(`  ${((at - since) / 1000).toFixed(2)} ${what}`);
    }
    [now, next] = [next, now];
  }
});
