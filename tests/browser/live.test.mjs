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
    for (const [user, mark, codec] of [['ann', '11', 'h264'], ['bob', '22', 'vp8']]) {
      members.push(server.start('join', '1001', '--user', user, '--mark', mark, '--codec', codec));
    }
    for (let attempt = 0; ; attempt += 1) {
      try {
        await server.run('mix', 'start', '1001', '--stream-id', 'demo-1001', '--size', '640x360');
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
    test(`plays by ${type} and shows both members`, async () => {
      const page = await browser.newPage();
      await page.addInitScript(tools);
      await page.goto(`${server.url}/player.html?stream=demo-1001&type=${type}`);
      const marks = await until(page, 'both marks', () => {
        const video = document.getElementById('player');
        // Two members side by side: two columns and one row, each cell cropped or whole by the template.
        const found = [0, 1].map((column) => window.frameMark.readVideo(video, 2, 1, column, 0)
          ?? window.frameMark.readVideo(video, 2, 2, column, 0));
        return found.every(Boolean) && found;
      }, undefined, 40);
      assert.deepEqual(marks.map((mark) => mark.id).sort(), [11, 22]);
      const before = await page.evaluate(() => document.getElementById('player').currentTime);
      await until(page, 'time goes on', (time) => document.getElementById('player').currentTime > time + 1, before);
      await page.close();
    });
  }
});
