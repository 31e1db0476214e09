// Eyevinn's WHIP publisher and WHEP player in Chromium: the player shows the publisher's media.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eyevinnScript } from './eyevinn.mjs';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const [ID, TONE, OTHER_TONE] = [77, 900, 1700];

describe('WHIP and WHEP by Eyevinn', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];
  const pages = {};

  before(async () => {
    server = await startServer();
    const script = await eyevinnScript();
    for (const user of ['ann', 'bob']) {
      const browser = await startBrowser();
      browsers.push(browser);
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error(`${user}:`, error));
      await page.goto(`${server.url}/player.html`);
      await page.addScriptTag({ content: tools });
      await page.addScriptTag({ content: script });
      pages[user] = page;
    }
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  const ticket = async (user) => (await server.run('user-sig', user)).trim();
  const metrics = async () => (await fetch(`${server.url}/metrics`)).text();

  test('the player plays the audio and video of the publisher', async () => {
    await pages.ann.evaluate(async ([endpoint, authkey, id, tone]) => {
      window.markedDevices(id, tone);
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      window.client = new window.eyevinn.WHIPClient({ endpoint, opts: { authkey, iceServers: [] } });
      await window.client.ingest(stream);
    }, [`${server.url}/whip/3003`, await ticket('ann'), ID, TONE]);
    await eventually('ann is a member', async () => (await metrics()).includes('rotunda_signaling_members 1\n'));

    await pages.bob.evaluate(async ([endpoint, auth]) => {
      const video = Object.assign(document.createElement('video'), { autoplay: true, id: 'shown' });
      document.body.append(video);
      window.player = new window.eyevinn.WebRTCPlayer({ video, type: 'whep', iceServers: [] });
      await window.player.load(new URL(endpoint), auth);
    }, [`${server.url}/whep/3003/ann`, `Bearer ${await ticket('bob')}`]);

    const read = () => window.frameMark.readVideo(document.querySelector('#shown'));
    const first = await until(pages.bob, 'a marked frame', read, undefined, 40);
    assert.equal(first.id, ID);
    await until(pages.bob, 'time goes on', (count) => {
      const mark = window.frameMark.readVideo(document.querySelector('#shown'));
      return mark && ((mark.count - count) & 0xffff) > 50;
    }, first.count);
    await eventually('the tone', async () => {
      const [tone, other] = await pages.bob.evaluate(
        (tones) => window.toneLevels(document.querySelector('#shown').srcObject, tones),
        [TONE, OTHER_TONE],
      );
      return tone > -60 && tone > other + 25;
    }, 30);
  });

  test('DELETE of each removes its member from the room', async () => {
    await pages.bob.evaluate(() => window.player.unload());
    await eventually('bob has left', async () => (await metrics()).includes('rotunda_signaling_members 1\n'));
    await pages.ann.evaluate(() => window.client.destroy());
    await eventually('ann has left', async () => (await metrics()).includes('rotunda_signaling_members 0\n'));
  });
});
