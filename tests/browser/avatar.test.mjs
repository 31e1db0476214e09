// The avatar's console in Chromium: it says what is written, its mouth moves, it is interrupted, and it goes.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, eventually, freePort, startBrowser, startServer, until } from './support.mjs';

const TEXT = 'Hello there, I am an avatar, and I say what is written here, word by word, until somebody interrupts me in the middle.';

describe('the avatar', { skip: cannotRun() }, () => {
  let server;
  let browser;
  let page;
  let url;

  before(async () => {
    const port = await freePort();
    server = await startServer({ ROTUNDA__AVATAR__PORT: String(port) }, ['avatar']);
    url = `http://localhost:${port}`;
    browser = await startBrowser();
    page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(`${url}/dashboard.html`);
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const metric = async (name) => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return Number(text.match(new RegExp(`^${name} (.*)$`, 'm'))?.[1] ?? 0);
  };

  /** Whether something is heard, and the share of dark pixels where the mouth is. */
  const look = () => page.evaluate(() => {
    const video = document.getElementById('video');
    if (!window.ears) {
      const audio = new AudioContext();
      const source = audio.createMediaStreamSource(video.srcObject);
      window.ears = audio.createAnalyser();
      source.connect(window.ears);
      window.heard = new Float32Array(window.ears.fftSize);
    }
    window.ears.getFloatTimeDomainData(window.heard);
    const level = Math.sqrt(window.heard.reduce((sum, sample) => sum + sample * sample, 0) / window.heard.length);
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const paper = canvas.getContext('2d');
    paper.drawImage(video, 0, 0);
    const unit = Math.min(canvas.width, canvas.height);
    const [x, y] = [canvas.width / 2, canvas.height * 0.48];
    const { data } = paper.getImageData(x - 0.1 * unit, y + 0.16 * unit, 0.2 * unit, 0.16 * unit);
    let dark = 0;
    for (let at = 0; at < data.length; at += 4) dark += data[at] + data[at + 1] + data[at + 2] < 150 ? 1 : 0;
    return { level, mouth: dark / (data.length / 4) };
  });

  test('it is seen, and is silent with its mouth closed', async () => {
    await page.click('#connect');
    await until(page, 'a session', () => /^session \d{6}$/.test(document.getElementById('state').textContent));
    await until(page, 'video', () => document.getElementById('video').videoWidth === 512);
    await eventually('silence', async () => {
      const { level, mouth } = await look();
      return level < 0.001 && mouth < 0.02;
    });
    assert.equal(await metric('rotunda_avatar_sessions'), 1);
  });

  test('a second session is refused in the words of the API', async () => {
    const other = await browser.newPage();
    await other.goto(`${url}/webrtcapi.html`);
    await other.click('#connect');
    await until(other, 'the refusal', () => document.getElementById('state').textContent === 'reach max session');
    await other.close();
  });

  test('what is written is heard, and the mouth moves with it', async () => {
    await page.fill('#text', TEXT);
    await page.click('#echo');
    await eventually('speech with an open mouth', async () => {
      const { level, mouth } = await look();
      return level > 0.02 && mouth > 0.1;
    });
    await until(page, 'the page says so', () => document.getElementById('speaking').textContent === 'speaking');
  });

  test('it is interrupted', async () => {
    await page.click('#stop');
    await eventually('silence with a closed mouth', async () => {
      const { level, mouth } = await look();
      return level < 0.001 && mouth < 0.02;
    }, 2);
    await until(page, 'the page says so', () => document.getElementById('speaking').textContent === 'silent');
  });

  test('a recording is made', async () => {
    await page.click('#start_record');
    await new Promise((resolve) => { setTimeout(resolve, 1500); });
    await page.click('#end_record');
    const file = `${server.env.ROTUNDA__SERVER__DATA}/data/record.mp4`;
    await eventually('record.mp4', async () => existsSync(file));
  });

  test('a mistake is shown', async () => {
    await page.click('#chat');
    await until(page, 'the advice', () => document.getElementById('state').textContent.includes('avatar.chat.url'));
  });

  test('it goes with the page', async () => {
    await page.click('#disconnect');
    await eventually('no session', async () => await metric('rotunda_avatar_sessions') === 0, 40);
  });
});
