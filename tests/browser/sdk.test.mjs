// The web SDK in real Chromium, besides audio and video: layers that nobody watches, statistics, custom messages.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

/** In the page: the layers whose encoder is on. */
const active = () => {
  const camera = window.rotunda?.peerConnection()?.getTransceivers()[1];
  return camera.sender.getParameters().encodings.filter((one) => one.active).map((one) => one.rid).join('');
};

/** In the page: the latest statistics of the SDK's events. */
const listen = () => {
  window.heard = {};
  for (const name of ['statistics', 'network-quality']) {
    window.rotunda.room.on(name, (value) => { window.heard[name] = value; });
  }
};

describe('two members with the web SDK', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];

  async function join(user, id, width) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(${id}, 700, ${width}, ${(width * 9) / 16});`);
    await page.goto(`${server.url}/?room=1001&user=${user}&codec=vp8&auto=1&audioProcessing=off`);
    await until(page, 'in the room', () => window.rotunda?.peerConnection()?.connectionState === 'connected');
    await page.evaluate(listen);
    return page;
  }

  before(async () => { server = await startServer(); });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('a camera sends only its lowest layer while nobody watches, and more as soon as somebody does', async () => {
    const ann = await join('ann', 11, 1280);
    assert.equal(await ann.evaluate(active), 'qhf');
    await until(ann, 'the lowest layer alone', `(${active})() === 'q'`, undefined, 15);
    const bob = await join('bob', 22, 1280);
    await until(ann, 'a better layer', `(${active})() !== 'q'`, undefined, 10);
    const read = () => document.querySelector('video[data-user="ann"]')?.videoWidth ?? 0;
    const width = await until(bob, 'a larger size than the lowest', `(${read})() > 320 && (${read})()`, undefined, 20);
    assert.ok(width >= 640, `${width} pixels wide`);
  });

  test('they get statistics and a quality by events, and all figures on request', async () => {
    const page = browsers[0].contexts()[0].pages()[0];
    const quality = await until(page, 'a quality of both directions', () => {
      const told = window.heard['network-quality'];
      return told?.uplinkNetworkQuality > 0 && told.downlinkNetworkQuality > 0 && told;
    }, undefined, 20);
    assert.ok(quality.uplinkNetworkQuality <= 3, JSON.stringify(quality));
    const statistics = await until(page, 'statistics of both', () => {
      const told = window.heard.statistics;
      return told?.localStatistics.video.length > 0 && told.remoteStatistics[0]?.video.length > 0 && told;
    }, undefined, 20);
    assert.equal(statistics.remoteStatistics[0].userId, 'bob');
    assert.ok(statistics.remoteStatistics[0].video[0].bitrate > 0, JSON.stringify(statistics));
    const server = await page.evaluate(() => window.rotunda.room.getStats());
    assert.ok(server.uplink.some(({ source, rid, bitrate }) => source === 'camera' && rid === 'q' && bitrate > 0), JSON.stringify(server));
    assert.ok(server.downlink.some(({ userId, source, codec }) => userId === 'bob' && source === 'camera' && codec === 'VP8'), JSON.stringify(server));
  });

  test('they send each other custom messages, and get errors for the limits', async () => {
    const [ann, bob] = browsers.map((browser) => browser.contexts()[0].pages()[0]);
    await ann.evaluate(() => {
      window.messages = [];
      window.rotunda.room.on('custom-message', ({ userId, cmdId, seq, data }) => {
        window.messages.push({ userId, cmdId, seq, text: new TextDecoder().decode(data) });
      });
    });
    await bob.evaluate(() => {
      window.errors = [];
      window.rotunda.room.on('error', ({ code }) => window.errors.push(code));
      const data = new TextEncoder().encode('hello').buffer;
      window.rotunda.room.sendCustomMessage({ cmdId: 3, data });
      window.rotunda.room.sendCustomMessage({ cmdId: 4, data, ordered: false });
    });
    const got = await until(ann, 'both messages', () => window.messages.length === 2 && window.messages);
    got.sort((one, other) => one.cmdId - other.cmdId);
    assert.deepEqual(got.map(({ userId, cmdId, text }) => [userId, cmdId, text]), [['bob', 3, 'hello'], ['bob', 4, 'hello']]);
    const tooLarge = await bob.evaluate(() => {
      try {
        window.rotunda.room.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1025) });
        return 'sent';
      } catch ({ code }) {
        return code;
      }
    });
    assert.equal(tooLarge, 'custom_message_too_large');
    await bob.evaluate(() => {
      for (let count = 0; count < 100; count += 1) window.rotunda.room.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(8) });
    });
    await until(bob, 'the limit by its name', () => window.errors.includes('custom_message_rate'));
  });
});
