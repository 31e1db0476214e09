// WHIP and WHEP in Chromium: Eyevinn's publisher and player, and the helpers of the web SDK.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { bundle, openPage } from './bundled_page.mjs';
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

describe('WHIP and WHEP by the web SDK', { skip: cannotRun() }, () => {
  const URLS = { publish: '/whip/3004', play: '/whep/3004/ann' };
  let server;
  let script;
  const browsers = [];
  const pages = {};
  const members = async (count) => (await (await fetch(`${server.url}/metrics`)).text()).includes(`rotunda_signaling_members ${count}\n`);
  const ticket = async (user) => (await server.run('user-sig', user)).trim();

  before(async () => {
    server = await startServer();
    script = await bundle({ text: "export * from './whip/index';" });
    for (const user of ['ann', 'bob']) {
      const browser = await startBrowser();
      browsers.push(browser);
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error(`${user}:`, error));
      await openPage(page, server, '<video id="shown" autoplay muted></video>', script);
      await page.addScriptTag({ content: tools });
      pages[user] = page;
    }
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  const read = () => window.frameMark.readVideo(document.querySelector('#shown'));
  const goesOn = async () => {
    const first = await until(pages.bob, 'a marked frame', read, undefined, 40);
    assert.equal(first.id, ID);
    await until(pages.bob, 'time goes on', (count) => {
      const mark = window.frameMark.readVideo(document.querySelector('#shown'));
      return mark && ((mark.count - count) & 0xffff) > 50;
    }, first.count, 40);
  };

  test('a refusal has the code of the server', async () => {
    const refused = await pages.ann.evaluate(async (url) => {
      const canvas = document.createElement('canvas');
      canvas.getContext('2d');
      return window.app.publish({ url, token: 'wrong', camera: canvas.captureStream(1).getVideoTracks()[0] }).then(() => 'none', ({ code, message }) => `${code}: ${message}`);
    }, `${server.url}${URLS.publish}`);
    assert.match(refused, /^user_sig_\w+: ./);
  });

  test('a viewer waits for the publisher, and sees and hears them', async () => {
    await pages.bob.evaluate(([url, token]) => {
      window.playing = window.app.play({ url, token }).then((playback) => {
        window.playback = playback;
        document.querySelector('#shown').srcObject = playback.stream;
      }, (error) => { window.failed = error.message; });
    }, [`${server.url}${URLS.play}`, await ticket('bob')]);
    await pages.ann.evaluate(async ([url, token, id, tone]) => {
      window.markedDevices(id, tone);
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      window.session = await window.app.publish({ url, token, audio: stream.getAudioTracks()[0], camera: stream.getVideoTracks()[0] });
    }, [`${server.url}${URLS.publish}`, await ticket('ann'), ID, TONE]);
    await until(pages.ann, 'ann is connected', () => window.session.state === 'connected', undefined, 40);
    await goesOn();
    await until(pages.bob, 'the viewer is connected', () => window.playback.state === 'connected', undefined, 40);
    await eventually('the tone', async () => {
      const [tone, other] = await pages.bob.evaluate((tones) => window.toneLevels(document.querySelector('#shown').srcObject, tones), [TONE, OTHER_TONE]);
      return tone > -60 && tone > other + 25;
    }, 30);
  });

  test('ICE begins again as after a change of the network, and the media goes on', async () => {
    const changed = await pages.ann.evaluate(async () => {
      const ufrag = () => /a=ice-ufrag:(\S+)/.exec(window.session.pc.remoteDescription.sdp)[1];
      const before = ufrag();
      await window.session.restart();
      return ufrag() !== before;
    });
    assert.ok(changed, 'the server has new credentials');
    await until(pages.ann, 'ann is connected', () => window.session.state === 'connected' && window.session.pc.connectionState === 'connected', undefined, 40);
    await goesOn();
  });

  test('both stop, and leave the room', async () => {
    await pages.bob.evaluate(() => window.playback.stop());
    await eventually('bob has left', () => members(1));
    await pages.ann.evaluate(() => window.session.stop());
    await eventually('ann has left', () => members(0));
    assert.equal(await pages.ann.evaluate(() => window.session.state), 'closed');
  });
});
