// A viewer whose link does not carry the smallest size in full gets fewer frames of it, and all of them when the link
// is fast again.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { SlowLink } from './slow_link.mjs';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const CAMERA = { mark: 41, width: 1280, height: 720, rate: 25 };
/** Bit/s: less than the smallest size and audio need, more than half of that size and audio. */
const SLOW = 185_000;

/** In the publisher's page: strong motion, so that the encoders use their full bitrate. */
function restless() {
  const { draw } = window.frameMark;
  window.frameMark.draw = (context, id, count) => {
    const { width, height } = context.canvas;
    for (let spot = 0; spot < 12; spot += 1) {
      context.fillStyle = `hsl(${360 * Math.random()} 60% ${20 + 60 * Math.random()}%)`;
      context.fillRect(width * Math.random(), height * (0.25 + 0.75 * Math.random()), width / 12, height / 12);
    }
    draw(context, id, count);
  };
}

/** In the publisher's page: three frame rates of each size, which browsers choose by default only for VP8. */
function sendThreeRates() {
  const { addTransceiver } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function add(kind, { sendEncodings, ...init } = {}) {
    const encodings = sendEncodings?.map((encoding) => ({ ...encoding, scalabilityMode: 'L1T3' }));
    return addTransceiver.call(this, kind, encodings ? { ...init, sendEncodings: encodings } : init);
  };
}

/** In the viewer's page: records each shown frame. */
function note() {
  const video = document.querySelector('video[data-user="cam"]');
  window.noted = [];
  const look = (now, { height }) => {
    window.noted.push({ at: now, height, mark: window.frameMark.readVideo(video) });
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}

for (const codec of ['vp8', 'h264']) {
  describe(`a camera in ${codec} with three frame rates`, { skip: cannotRun() }, () => {
    const link = new SlowLink();
    const browsers = [];
    let server;
    let publisher;
    let viewer;

    before(async () => {
      server = await startServer();
      for (const _ of [0, 1]) browsers.push(await startBrowser());
      publisher = await browsers[0].newPage();
      await publisher.addInitScript(`${tools}\n(${restless})();\nmarkedDevices(${CAMERA.mark}, 700, ${CAMERA.width}, ${CAMERA.height});`);
      if (codec !== 'vp8') await publisher.addInitScript(sendThreeRates);
      await publisher.goto(`${server.url}/?room=1&user=cam&codec=${codec}&auto=1&audioProcessing=off`);
      await until(publisher, 'the smallest size in three rates', async () => {
        const stats = [...(await window.rotunda?.peerConnection().getStats() ?? new Map()).values()];
        return stats.some(({ rid, framesSent, scalabilityMode }) => rid === 'q' && framesSent > 0 && scalabilityMode === 'L1T3');
      }, undefined, 40);
      viewer = await browsers[1].newPage();
      await link.lead(viewer);
      await viewer.addInitScript(`${tools}\nnavigator.mediaDevices.getUserMedia = async () => { throw new Error("none"); };`);
      // A preview without a frame keeps the page loading for ever.
      await viewer.goto(`${server.url}/?room=1&user=eve&auto=1&adapt=off`, { waitUntil: 'domcontentloaded' });
      await until(viewer, 'a frame', () => document.querySelector('video[data-user="cam"]')?.videoHeight, undefined, 40);
      await viewer.evaluate(note);
      await viewer.evaluate((maxHeight) => (
        window.rotunda.room.signaling.request('requestVideo', { userId: 'cam', source: 'camera', maxHeight })), CAMERA.height / 4);
    });

    after(async () => {
      for (const browser of browsers) await browser.close();
      await server?.stop();
      link.close();
    });

    /** The frames shown in the last seconds. */
    const shown = (seconds) => viewer.evaluate((time) => (
      window.noted.filter(({ at }) => at > performance.now() - time)), 1000 * seconds);

    /** Frames of the smallest size that the publisher has sent. */
    const sent = () => publisher.evaluate(async () => {
      const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
      return stats.find(({ rid, framesSent }) => rid === 'q' && framesSent > 0).framesSent;
    });

    /**
     * Waits until this many frames per second of the smallest size were shown for two seconds. A browser on a busy
     * machine makes the size smaller.
     */
    const shows = async (what, least, most) => {
      let seen = '';
      await eventually(what, async () => {
        const frames = await shown(2);
        const rate = frames.length / 2;
        const heights = [...new Set(frames.map(({ height }) => height))];
        seen = `${rate} frames per second of ${heights.join()} lines`;
        return heights.every((height) => height <= CAMERA.height / 4) && rate >= least && rate <= most;
      }, 30).catch((error) => { throw new Error(`${error.message}: ${seen}`); });
    };

    test('fewer frames arrive over a slow link, each complete, and all of them over a fast one', async () => {
      await shows('all frames of the smallest size', 0.85 * CAMERA.rate, 1.2 * CAMERA.rate);
      const begun = await viewer.evaluate(() => performance.now());
      link.rate = SLOW;
      await shows('about half of them', 0.2 * CAMERA.rate, 0.6 * CAMERA.rate);
      const before = await sent();
      await new Promise((resolve) => { setTimeout(resolve, 5000); });
      const slow = await shown(5);
      const [rate, full] = [slow.length / 5, (await sent() - before) / 5];
      assert.ok(full > 0.85 * CAMERA.rate, `the publisher sends ${full} frames per second`);
      assert.ok(rate >= 0.2 * CAMERA.rate && rate <= 0.65 * CAMERA.rate, `${rate} frames per second`);
      link.rate = Infinity;
      await shows('all of them again', 0.85 * CAMERA.rate, 1.2 * CAMERA.rate);
      const all = (await viewer.evaluate(() => window.noted)).filter(({ at }) => at > begun);
      const longest = Math.max(...all.slice(1).map(({ at }, index) => at - all[index].at));
      const unreadable = slow.filter(({ mark }) => mark?.id !== CAMERA.mark).length;
      const back = all.slice(1).filter(({ mark }, index) => mark && all[index].mark && ((mark.count - all[index].mark.count) & 0x8000)).length;
      console.log(`${codec}: ${rate} of ${full} frames per second, at most ${Math.round(longest)} ms between two, ${unreadable} of ${slow.length} not readable`);
      assert.ok(longest < 1000, `the video froze for ${longest} ms`);
      assert.deepEqual({ unreadable, back }, { unreadable: 0, back: 0 });
    });
  });
}
