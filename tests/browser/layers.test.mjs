// A publisher in real Chromium pauses the simulcast layers that nobody watches, and sends them again when somebody does.

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

/** In the page: the statistics that the SDK's events brought last. */
const listen = () => {
  window.heard = {};
  for (const name of ['statistics', 'network-quality']) {
    window.rotunda.room.on(name, (value) => { window.heard[name] = value; });
  }
};

describe('a camera with layers', { skip: cannotRun() }, () => {
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

  test('sends the lowest alone while nobody watches, and more as soon as somebody does', async () => {
    const ann = await join('ann', 11, 1280);
    assert.equal(await ann.evaluate(active), 'qhf');
    await until(ann, 'the lowest layer alone', `(${active})() === 'q'`, undefined, 15);
    const bob = await join('bob', 22, 1280);
    await until(ann, 'a better layer', `(${active})() !== 'q'`, undefined, 10);
    const read = () => document.querySelector('video[data-user="ann"]')?.videoWidth ?? 0;
    const width = await until(bob, 'a larger picture than the lowest', `(${read})() > 320 && (${read})()`, undefined, 20);
    assert.ok(width >= 640, `${width} pixels wide`);
  });

  test('has statistics and a quality in the events of the SDK, and all of it by request', async () => {
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
    assert.ok(statistics.remoteStatistics[0].video[0].bitrate > 50, JSON.stringify(statistics));
    const server = await page.evaluate(() => window.rotunda.room.getStats());
    assert.ok(server.uplink.some(({ source, rid, bitrate }) => source === 'camera' && rid === 'q' && bitrate > 20_000), JSON.stringify(server));
    assert.ok(server.downlink.some(({ userId, source, codec }) => userId === 'bob' && source === 'camera' && codec === 'VP8'), JSON.stringify(server));
  });
});
