#!/usr/bin/env node
// A viewer behind a bad network: Chromium in one namespace, the server with a publisher in another, a link with
// loss, delay and a rate limit between them. A second Chromium beside the server is the clock: it shows the same
// frame marks, so the bench can tell how much later the viewer shows them.
//
//   sudo node benches/network.mjs [--link PROGRAM] [--server BINARY] [--camera vp8|vp9|av1] [--rates KBIT,KBIT]
//     [good|loss|jitter|narrow|narrowing|lossy-publisher|tcp ...]
//
// `narrow`: a Chromium publishes its camera with that codec, and the link has these rates, one after the other.
// PROGRAM: netem_link (default: built from ../shared/tools/netem_link). Prints a line of JSON per scenario.

import { parseArgs } from 'node:util';
import { URL_OF_SERVER, marks, onStage, options, percentile, sleep } from './namespaces.mjs';

/** Three simulcast layers. */
const CAMERA = { mark: 9, size: [1280, 720], codec: 'vp8' };
const SMALL = { mark: 12, size: [640, 360], codec: 'vp8' };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...options,
    codec: { type: 'string', default: 'vp8' },
    camera: { type: 'string', default: 'vp8' },
    rates: { type: 'string', default: '1000,500,1000' },
  },
});

/** A WHEP viewer in its own Chromium in a namespace; its page records the frames that it has shown, with times. */
async function startViewer(stage, role, server, user, publishers) {
  const browser = await stage.startBrowser(role, user);
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`${user}:`, error));
  await page.goto(`${URL_OF_SERVER}/player.html`);
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
    }, [`${URL_OF_SERVER}/whep/1/${publisher}`, ticket, publisher]);
  }
  return {
    page,
    close: () => browser.close(),
    /** The current statistics of a publisher's audio and video. */
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

/** The viewer's figures between two readings: rates, and how much later than beside the server each frame was shown. */
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

/** Seconds until frames are shown again within `within` ms of those beside the server, for half a second. */
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
  async narrow({ stage, link, server, viewer: other }) {
    await other.close();
    const { browser } = await stage.enterByPage('server', 'cam', { ...CAMERA, codec: values.camera });
    const viewer = await startViewer(stage, 'viewer', server, 'far', ['cam']);
    await sleep(10);
    const result = { wide: await estimates(stage, viewer, 'cam', 5), narrow: [] };
    for (const rate of values.rates.split(',')) {
      await link.set('ab', `clear,delay=20,rate=${rate},queue=300`);
      await sleep(5);
      result.narrow.push({ rate, ...await estimates(stage, viewer, 'cam', 15) });
    }
    await viewer.close();
    await browser.close();
    return result;
  },
  /** A good link that drops to 500 kbit/s from one moment to the next, three times: the first 5 s. */
  async narrowing({ stage, link, server, viewer: other }) {
    await other.close();
    const { browser } = await stage.enterByPage('server', 'cam', CAMERA);
    const viewer = await startViewer(stage, 'viewer', server, 'far', ['cam']);
    const times = [];
    for (let time = 0; time < 3; time += 1) {
      await link.set('both', 'clear,delay=20');
      await sleep(15);
      await viewer.shown('cam');
      const wide = await viewer.statistics('cam');
      await link.set('ab', 'clear,delay=20,rate=500,queue=300');
      const { fps, ...rest } = await received(viewer, 'cam', 5);
      times.push({ from: wide.height, fps, ...rest, estimate: Math.round(stage.memberStatistics('far-cam').downlinkEstimate / 1000) });
    }
    await viewer.close();
    await browser.close();
    return { times };
  },
  /** A publisher with uplink loss, and its effect on its viewer and on a viewer of another publisher. */
  async 'lossy-publisher'({ stage, link, server }) {
    await link.set('both', 'clear,delay=30');
    const { browser, page } = await stage.enterByPage('viewer', 'cam', CAMERA);
    const viewer = await startViewer(stage, 'server', server, 'good', ['cam', 'ann']);
    await sleep(10);
    const look = async () => {
      const known = stage.memberStatistics('good-ann');
      return {
        ...await received(viewer, 'cam', 15),
        layers: await page.evaluate(layersSent),
        estimate: Math.round(stage.memberStatistics('good-cam').downlinkEstimate / 1000),
        ofOther: { ...await received(viewer, 'ann', 3), estimateBefore: Math.round(known.downlinkEstimate / 1000), estimate: Math.round(stage.memberStatistics('good-ann').downlinkEstimate / 1000) },
      };
    };
    const result = { good: await look() };
    for (const loss of [10, 20]) {
      await link.set('ba', `clear,delay=30,loss=${loss}`);
      await sleep(5);
      result[`loss${loss}`] = await look();
    }
    await viewer.close();
    await browser.close();
    return result;
  },
  /** A member whose network blocks UDP publishes and watches by ICE-TCP. */
  async tcp({ stage, link }) {
    await link.set('both', 'clear,delay=20');
    const near = await stage.enterByPage('server', 'beside', { ...SMALL, mark: 11 });
    const unblock = stage.blockUdp('viewer', 'cable');
    const far = await stage.enterByPage('viewer', 'blocked', SMALL);
    await sleep(5);
    const result = {};
    for (const [name, { page }, other] of [['watches', far, 'beside'], ['isWatched', near, 'blocked']]) {
      result[name] = await page.evaluate(async (user) => {
        const video = document.querySelector(`video[data-user="${user}"]`);
        const [frames, began] = [video.getVideoPlaybackQuality().totalVideoFrames, performance.now()];
        await new Promise((resolve) => { setTimeout(resolve, 5000); });
        const shown = video.getVideoPlaybackQuality().totalVideoFrames - frames;
        return { fps: Math.round((10_000 * shown) / (performance.now() - began)) / 10, height: video.videoHeight };
      }, other);
    }
    result.pair = await far.page.evaluate(async () => {
      const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
      const { selectedCandidatePairId } = stats.find(({ type }) => type === 'transport');
      const { localCandidateId, remoteCandidateId } = stats.find(({ id }) => id === selectedCandidatePairId);
      const { protocol, tcpType } = stats.find(({ id }) => id === localCandidateId);
      const udp = window.rotunda.peerConnection().remoteDescription.sdp.match(/a=candidate:\S+ 1 udp \d+ \S+ (\d+)/i)?.[1];
      return { protocol, tcpType, port: stats.find(({ id }) => id === remoteCandidateId).port, udpPort: Number(udp) };
    });
    unblock();
    await far.browser.close();
    await near.browser.close();
    return result;
  },
};

/** Runs in a publisher's page: the layers that it sends now. */
async function layersSent() {
  const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
  const sent = stats.filter(({ type, kind, framesPerSecond }) => type === 'outbound-rtp' && kind === 'video' && framesPerSecond > 0);
  return sent.map(({ rid, framesPerSecond, scalabilityMode, qualityLimitationReason: limit }) => ({ rid, fps: framesPerSecond, scalabilityMode, limit }));
}

/** The media that a viewer receives from a publisher, from now on. */
async function received(viewer, publisher, seconds) {
  await viewer.shown(publisher);
  const before = await viewer.statistics(publisher);
  await sleep(seconds);
  const after = await viewer.statistics(publisher);
  const shown = await viewer.shown(publisher);
  const difference = (name) => after[name] - before[name];
  const gaps = shown.slice(1).map(([, at], index) => at - shown[index][1]);
  return {
    fps: Number((difference('frames') / difference('at')).toFixed(1)),
    height: after.height,
    freezes: difference('freezes'),
    frozenSeconds: Number(difference('frozen').toFixed(2)),
    longestGapMs: Math.round(Math.max(0, ...gaps)),
    concealedPercent: Number(((100 * difference('concealed')) / Math.max(1, difference('samples'))).toFixed(2)),
    kbps: Math.round((8 * difference('bytes')) / difference('at') / 1000),
    plis: difference('plis'),
  };
}

/** The estimate of the far viewer's link once per second, and the frames shown meanwhile. */
async function estimates(stage, viewer, publisher, seconds) {
  const found = [];
  const before = await viewer.statistics(publisher);
  for (let second = 0; second < seconds; second += 1) {
    await sleep(1);
    const known = stage.memberStatistics(`far-${publisher}`);
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

await onStage(['server', 'viewer'], values, async (stage) => {
  const link = await stage.startLink();
  const server = await stage.startServer();
  server.start('join', '1', '--user', 'ann', '--mark', '7', '--codec', values.codec);
  await sleep(2);
  const reference = await startViewer(stage, 'server', server, 'near', ['ann']);
  const viewer = await startViewer(stage, 'viewer', server, 'far', ['ann']);
  await sleep(3);
  for (const name of positionals.length ? positionals : Object.keys(scenarios)) {
    const result = await scenarios[name]({ stage, link, viewer, reference, server });
    console.log(JSON.stringify({ scenario: name, ...result }));
    await link.set('both', 'clear');
    await sleep(3);
  }
});
