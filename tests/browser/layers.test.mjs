// Layers inside one stream (SVC): a viewer who wants a smaller size gets it, and later a larger one again.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

/** In the page: counts the shown frames, their heights, and the longest time between two. */
function watch(user) {
  const video = document.querySelector(`video[data-user="${user}"]`);
  const seen = { heights: [], longest: 0, frames: 0, last: undefined };
  const next = (now) => {
    const { videoHeight } = video;
    if (seen.heights.at(-1) !== videoHeight) seen.heights.push(videoHeight);
    if (seen.last !== undefined) seen.longest = Math.max(seen.longest, now - seen.last);
    seen.last = now;
    seen.frames += 1;
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  window.seen = seen;
}

const height = (user) => document.querySelector(`video[data-user="${user}"]`)?.videoHeight;

// Divisible by four into sizes for which browsers encode three layers.
const [width, full] = [1024, 576];

for (const codec of ['vp9', 'av1']) {
  describe(`${codec} with three sizes in one stream`, { skip: cannotRun() }, () => {
    let server;
    const browsers = [];
    let ann;
    let bob;

    const ask = (maxHeight) => bob.evaluate((most) => window.rotunda.room.signaling.request('requestVideo', {
      userId: 'ann', source: 'camera', maxHeight: most,
    }), maxHeight);

    const received = () => bob.evaluate(async () => {
      const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
      const video = stats.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
      return video.find(({ framesDecoded }) => framesDecoded > 0);
    });

    before(async () => {
      server = await startServer();
      const enter = async (user, query, script) => {
        const browser = await startBrowser();
        browsers.push(browser);
        const page = await browser.newPage();
        page.on('pageerror', (error) => console.error(`${user}:`, error));
        await page.addInitScript(script);
        // A video without a frame delays the page's `load`.
        await page.goto(`${server.url}/?room=1001&user=${user}&auto=1&audioProcessing=off&adapt=off${query}`, { waitUntil: 'domcontentloaded' });
        return page;
      };
      ann = await enter('ann', `&codec=${codec}`, `${tools}\nmarkedDevices(1, 700, ${width}, ${full});`);
      // Bob has neither camera nor microphone.
      bob = await enter('bob', '', 'navigator.mediaDevices.getUserMedia = async () => { throw new Error("none"); };');
      await until(bob, 'the full size', ([user, is]) => (
        document.querySelector(`video[data-user="${user}"]`)?.videoHeight === is), ['ann', full], 40);
    });

    after(async () => {
      for (const browser of browsers) await browser.close();
      await server?.stop();
    });

    test('the publisher sends three sizes in one stream', async () => {
      const sent = await ann.evaluate(async () => {
        const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
        const video = stats.filter(({ type, kind, framesEncoded }) => type === 'outbound-rtp' && kind === 'video' && framesEncoded > 0);
        return video.map(({ scalabilityMode, codecId }) => ({ scalabilityMode, codec: stats.find(({ id }) => id === codecId).mimeType }));
      });
      assert.deepEqual(sent, [{ scalabilityMode: 'L3T3_KEY', codec: `video/${codec.toUpperCase()}` }]);
    });

    test('the video becomes smaller and larger again without a freeze of a second', async () => {
      await bob.evaluate(watch, 'ann');
      for (const wanted of [full / 4, full / 2, full / 4, full]) {
        await ask(wanted === full ? undefined : wanted);
        await eventually(`a frame of ${wanted}`, async () => await bob.evaluate(height, 'ann') === wanted);
        const { frames } = await bob.evaluate(() => window.seen);
        await until(bob, 'two more seconds of frames', (count) => window.seen.frames > count, frames + 50);
        assert.equal(await bob.evaluate(height, 'ann'), wanted, 'and it stays');
      }
      const seen = await bob.evaluate(() => window.seen);
      assert.ok(seen.heights.every((seen) => [full / 4, full / 2, full].includes(seen)), seen.heights.join());
      assert.ok(seen.longest < 1000, `the video froze for ${seen.longest} ms`);
      const { packetsLost, freezeCount } = await received();
      assert.deepEqual({ packetsLost, freezeCount }, { packetsLost: 0, freezeCount: 0 });
    });

    const sent = () => ann.evaluate(async () => {
      const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
      return stats.find(({ type, kind, framesEncoded }) => type === 'outbound-rtp' && kind === 'video' && framesEncoded > 0);
    });

    /** Bit/s of the publisher's camera, over two seconds. */
    const rate = async () => {
      const [first, second] = [await sent(), (await new Promise((resolve) => { setTimeout(resolve, 2000); }), await sent())];
      return (second.bytesSent - first.bytesSent) * 8000 / (second.timestamp - first.timestamp);
    };

    test('sizes that nobody watches are not sent, and return when somebody requests them', async () => {
      await bob.evaluate(watch, 'ann');
      const all = await rate();
      const modes = { [full / 4]: 'L1T3', [full / 2]: 'L2T3_KEY', [full]: 'L3T3_KEY' };
      for (const wanted of [full / 4, full / 2, full / 4, full]) {
        const asked = Date.now();
        await ask(wanted === full ? undefined : wanted);
        await eventually(`a frame of ${wanted}`, async () => await bob.evaluate(height, 'ann') === wanted);
        const shown = Date.now() - asked;
        await eventually(`the publisher sends ${wanted}`, async () => {
          const { frameHeight, scalabilityMode } = await sent();
          return frameHeight === wanted && scalabilityMode === modes[wanted];
        }, 10);
        const paused = Date.now() - asked;
        const bits = await rate();
        console.log(`${codec} ${wanted}: shown after ${shown} ms, sent after ${paused} ms, ${Math.round(bits / 1000)} of ${Math.round(all / 1000)} kbit/s`);
        assert.equal(await bob.evaluate(height, 'ann'), wanted, 'and it stays');
        if (wanted === full / 4) assert.ok(bits < 0.4 * all, `${bits} of ${all} bit/s`);
      }
      const { longest } = await bob.evaluate(() => window.seen);
      assert.ok(longest < 1000, `the video froze for ${longest} ms`);
    });
  });
}
