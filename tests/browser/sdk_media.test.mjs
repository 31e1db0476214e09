// The web SDK's devices and elements in real Chromium: the size of an element chooses the layer, and a device that the system
// takes away comes back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { bundle, openPage, ticket } from './bundled_page.mjs';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const PATIENCE = 90;

const text = `
  import { LocalMedia, Room, Voices, attach, capture, listDevices } from './sdk';

  export async function member(credentials) {
    const room = await Room.enter({ url: location.origin.replace('http', 'ws') + '/ws', credentials, roomId: 7, codec: 'vp8' });
    window.room = room;
    window.media = new LocalMedia(room);
    window.told = [];
    for (const name of ['interrupted', 'restored', 'lost', 'ended']) {
      window.media.on(name, (event) => { window.told.push(name + ' ' + event.source + (event.error ? ' ' + event.error.code : '')); window.last = event; });
    }
    new Voices(room);
  }

  export function show(userId) {
    const element = document.querySelector('video');
    window.stop = attach(window.room, { userId, source: 'camera' }, element);
  }

  export async function codeOf(source) {
    try {
      (await capture(source)).getTracks().forEach((track) => track.stop());
      return 'opened';
    } catch (error) {
      return error.code;
    }
  }

  export { listDevices };
`;

describe("the SDK's devices and elements", { skip: cannotRun() }, () => {
  let server;
  let script;
  const browsers = [];

  async function open(user, prepare) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    if (prepare) await page.addInitScript(prepare);
    const html = '<style>body{margin:0}video{display:block;width:160px;height:90px}</style><video></video><div style="height:3000px"></div>';
    await openPage(page, server, html, script);
    await page.evaluate((one) => app.member(one), await ticket(server, user));
    return page;
  }

  before(async () => {
    server = await startServer();
    script = await bundle({ text });
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('the size of an element and whether it is in view choose the layer', async () => {
    const ann = await open('ann', `${tools}\nmarkedDevices(11, 700, 1280, 720);`);
    await ann.evaluate(() => window.media.start('camera', { height: 720 }));
    const bob = await open('bob');
    await bob.evaluate(() => app.show('ann'));
    const shown = (height) => until(bob, `a frame of ${height} lines`, (lines) => document.querySelector('video').videoHeight === lines, height, PATIENCE);
    const resize = (width) => bob.evaluate((pixels) => {
      Object.assign(document.querySelector('video').style, { width: `${pixels}px`, height: `${(pixels * 9) / 16}px` });
    }, width);
    await shown(180);
    await resize(1280);
    await shown(720);
    await resize(640);
    await shown(360);
    await resize(1280);
    await shown(720);
    await bob.evaluate(() => scrollTo(0, 2500));
    await shown(180);
    await bob.evaluate(() => scrollTo(0, 0));
    await shown(720);
    assert.equal(await bob.evaluate(() => window.frameMark === undefined), true);
  });

  /** In the page: whether the camera is being sent now. */
  const sends = async () => {
    let rate = 0;
    (await window.room.session.connection.getStats()).forEach(({ type, kind, framesPerSecond = 0 }) => {
      if (type === 'outbound-rtp' && kind === 'video') rate = Math.max(rate, framesPerSecond);
    });
    return rate > 0;
  };

  /** A browser ends the camera of a page whose permission is withdrawn. It does so once for each page. */
  const takeAway = async (page) => {
    await until(page, 'frames', sends, undefined, PATIENCE);
    await page.context().grantPermissions(['microphone'], { origin: server.url });
  };

  test('a processor makes what is sent, also of another device, until it is taken off', async () => {
    const eve = await open('eve', `${tools}\nmarkedDevices(11, 700, 640, 360);`);
    await eve.evaluate(() => window.media.start('camera'));
    const fay = await open('fay', tools);
    await fay.evaluate(() => app.show('eve'));
    const shown = (id) => until(fay, `the frames of ${id}`, (mark) => window.frameMark.readVideo(document.querySelector('video'))?.id === mark, id, PATIENCE);
    await shown(11);
    await eve.evaluate(() => window.media.process('camera', async (camera) => {
      window.devices = [...window.devices ?? [], camera.id];
      const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
      let count = 0;
      const timer = setInterval(() => window.frameMark.draw(canvas.getContext('2d'), 99, count += 1), 40);
      const [track] = canvas.captureStream(25).getVideoTracks();
      return { track, stop: () => { clearInterval(timer); track.stop(); } };
    }));
    await shown(99);
    await eve.evaluate(() => window.media.change('camera', { height: 360 }));
    assert.equal(await eve.evaluate(() => new Set(window.devices).size), 2, 'it got the new device');
    await shown(99);
    await eve.evaluate(() => window.media.process('camera'));
    await shown(11);
    for (const page of [eve, fay]) await page.evaluate(() => window.room.leave());
  });

  test('a camera that the browser takes away comes back', async () => {
    const cat = await open('cat');
    await cat.evaluate(() => window.media.start('camera'));
    await takeAway(cat);
    await until(cat, 'the camera again', () => window.told.includes('interrupted camera') && window.told.at(-1) === 'restored camera', undefined, PATIENCE);
    await until(cat, 'frames again', sends, undefined, PATIENCE);
  });

  test('a camera that cannot be opened again waits for a tap', async () => {
    const dan = await open('dan');
    await dan.evaluate(async () => {
      await window.media.start('camera');
      window.allowed = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('Permission denied', 'NotAllowedError'); };
    });
    await takeAway(dan);
    await until(dan, 'the loss', () => window.told.at(-1) === 'lost camera permission_denied', undefined, PATIENCE);
    assert.equal(await dan.evaluate(() => app.codeOf('camera')), 'permission_denied');
    await dan.evaluate(async () => {
      navigator.mediaDevices.getUserMedia = window.allowed;
      await window.last.retry();
    });
    assert.equal(await dan.evaluate(() => window.told.at(-1)), 'restored camera');
    await until(dan, 'frames after the tap', sends, undefined, PATIENCE);
  });

  test('devices are listed by kind with their names', async () => {
    const page = browsers.at(-1).contexts()[0].pages()[0];
    const labels = await page.evaluate(async () => (await app.listDevices('videoinput')).map(({ label }) => label));
    assert.ok(labels.length > 0 && labels.every(Boolean), labels.join());
  });

  test('a page without a camera is told so in words', async () => {
    const page = browsers[1].contexts()[0].pages()[0];
    const message = await page.evaluate(async () => {
      navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('Requested device not found', 'NotFoundError'); };
      return window.media.start('camera').catch((error) => error.message);
    });
    assert.equal(message, 'There is no camera. Connect one, then try again.');
  });
});
