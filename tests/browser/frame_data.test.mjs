// Data in frames in real Chromium: it arrives with the frame that it was sent with, in every layer, and others see the video as usual.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { bundle, openPage, ticket } from './bundled_page.mjs';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const ID = 11;
const PATIENCE = 90;

/** The script of the pages; `member(…)` enters the room. */
const text = `
  import { LocalMedia, Room, attach } from './sdk';
  import { FrameData } from './frame_data';

  export async function member({ credentials, workerText, sends, withData = true, height }) {
    const url = location.origin.replace('http', 'ws') + '/ws';
    const frameData = withData ? new FrameData(new Worker(URL.createObjectURL(new Blob([workerText], { type: 'text/javascript' })))) : undefined;
    const room = await Room.enter({ url, credentials, roomId: 'game', transform: frameData });
    window.got = [];
    frameData?.on('data', ({ track, data }) => {
      window.got.push({ from: room.remotes.find((remote) => remote.track === track)?.userId, text: new TextDecoder().decode(data) });
    });
    attach(room, { userId: 'ann', source: 'camera' }, document.querySelector('video'), { adapt: false });
    if (height) await room.limitHeight({ userId: 'ann', source: 'camera' }, height);
    window.media = new LocalMedia(room);
    if (sends) await window.media.start('camera');
    window.room = room;
    window.frameData = frameData;
  }

  export const send = (text) => window.frameData.send(new TextEncoder().encode(text).buffer);
`;

describe('data in frames', { skip: cannotRun() }, () => {
  let server;
  let scripts;
  const browsers = [];
  const pages = {};

  async function open(user, browser, options = {}) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(${ID}, 700, 640, 360);`);
    await openPage(page, server, '<body><video width="640" height="360" muted autoplay></video>', scripts.page);
    await page.evaluate((one) => app.member(one), { credentials: await ticket(server, user), workerText: scripts.worker, ...options });
    pages[user] = page;
  }

  const seesAnn = (page, what) => until(page, what, (id) => window.frameMark.readVideo(document.querySelector('video'))?.id === id, ID, PATIENCE);

  before(async () => {
    server = await startServer();
    scripts = { page: await bundle({ text }), worker: await bundle({ text: "import './frame_data/worker';" }) };
    for (let count = 0; count < 2; count += 1) browsers.push(await startBrowser());
    await open('ann', browsers[0], { sends: true });
    await open('bob', browsers[1]);
    await open('cat', browsers[1], { height: 90 });
    await open('dan', browsers[1], { withData: false });
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('viewers of the largest and of the smallest layer get the data, each once, with its sender', async () => {
    for (const user of ['bob', 'cat']) await seesAnn(pages[user], `${user} sees ann`);
    // A frame may be lost; what is sent again and again arrives.
    let count = 0;
    await eventually('both have ten of them', async () => {
      count += 1;
      await pages.ann.evaluate((number) => app.send(`score ${number} \u0000\u0000\u0001`), count);
      const got = await Promise.all(['bob', 'cat'].map((user) => pages[user].evaluate(() => window.got.length)));
      return got.every((length) => length >= 10);
    }, PATIENCE);
    for (const user of ['bob', 'cat']) {
      const got = await pages[user].evaluate(() => window.got);
      assert.ok(got.every(({ from, text: data }) => from === 'ann' && /^score \d+ \0\0\x01$/.test(data)), JSON.stringify(got.slice(0, 3)));
      assert.equal(new Set(got.map(({ text: data }) => data)).size, got.length, 'none twice');
    }
  });

  test('the video is as usual, also of a member without the module', async () => {
    await seesAnn(pages.dan, 'dan sees ann');
    await seesAnn(pages.bob, 'bob sees ann');
    const codecs = await pages.bob.evaluate(async () => {
      const stats = [...(await window.room.session.connection.getStats()).values()];
      return stats.filter(({ type, mimeType }) => type === 'codec' && mimeType.startsWith('video/')).map(({ mimeType }) => mimeType);
    });
    assert.ok(codecs.includes('video/H264'), codecs.join());
  });

  test('mistakes are named', async () => {
    const code = (page, size) => page.evaluate((bytes) => {
      try {
        window.frameData.send(new ArrayBuffer(bytes));
        return 'none';
      } catch (error) {
        return error.code;
      }
    }, size);
    assert.equal(await code(pages.ann, 1025), 'bad_frame_data');
    assert.equal(await code(pages.bob, 5), 'not_publishing');
    const codes = await pages.ann.evaluate(() => Array.from({ length: 40 }, () => {
      try {
        window.frameData.send(new ArrayBuffer(1));
        return 'none';
      } catch (error) {
        return error.code;
      }
    }));
    assert.equal(codes.at(-1), 'too_much_frame_data');
  });
});
