// The mix of a room plays in Chromium, over HTTP-FLV (mpegts.js) and HLS (hls.js).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

describe('the live mix', { skip: cannotRun() }, () => {
  let server;
  let browser;
  const members = [];

  before(async () => {
    server = await startServer();
    // Three or four members make a grid of two by two, whose cells have the shape of their frames: nothing is
    // cropped.
    for (const [user, mark, codec] of [['ann', '11', 'h264'], ['bob', '22', 'vp8'], ['cat', '33', 'h264'], ['dan', '44', 'vp8']]) {
      members.push(server.start('join', '1001', '--user', user, '--mark', mark, '--codec', codec, '--fps', '15'));
    }
    for (let attempt = 0; ; attempt += 1) {
      try {
        await server.run('mix', 'start', '1001', '--stream-id', 'demo-1001', '--size', '1280x720');
        break;
      } catch (error) {
        if (attempt > 50) throw error;
      }
    }
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    for (const member of members) await member.stop();
    await server?.stop();
  });

  for (const type of ['flv', 'hls']) {
    test(`plays by ${type} and shows every member`, async () => {
      const page = await browser.newPage();
      await page.addInitScript(tools);
      await page.goto(`${server.url}/player.html?stream=demo-1001&type=${type}`);
      const marks = await until(page, 'all marks', () => {
        const video = document.getElementById('player');
        const found = [0, 1, 2, 3].map((cell) => window.frameMark.readVideo(video, 2, 2, cell % 2, cell >> 1));
        return found.every(Boolean) && found;
      }, undefined, 40);
      assert.deepEqual(marks.map((mark) => mark.id).sort(), [11, 22, 33, 44]);
      const before = await page.evaluate(() => document.getElementById('player').currentTime);
      await until(page, 'time goes on', (time) => document.getElementById('player').currentTime > time + 1, before);
      await page.close();
    });
  }
});
