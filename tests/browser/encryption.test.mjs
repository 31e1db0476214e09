// End-to-end encryption in real Chromium: the right key shows the frames, a wrong one and none show nothing.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { bundle, openPage, ticket } from './bundled_page.mjs';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const PATIENCE = 90;

/** The script of the pages; `member(…)` enters the room. */
const text = `
  import { LocalMedia, Room, Voices, attach } from './sdk';
  import { Encryption } from './e2ee';

  export async function member({ credentials, workerText, keys, sends, encrypted = true }) {
    const url = location.origin.replace('http', 'ws') + '/ws';
    const encryption = encrypted
      ? new Encryption(new Worker(URL.createObjectURL(new Blob([workerText], { type: 'text/javascript' })))) : undefined;
    window.states = [];
    encryption?.on('state', ({ kind, state }) => window.states.push(kind + ' ' + state));
    const set = (bytes) => encryption?.setKey(0, new Uint8Array(16).fill(bytes).buffer);
    if (keys !== undefined) set(keys);
    const room = await Room.enter({ url, credentials, roomId: 'secret', transform: encryption });
    new Voices(room);
    const video = document.querySelector('video');
    attach(room, { userId: 'ann', source: 'camera' }, video, { adapt: false });
    if (sends) {
      const media = new LocalMedia(room);
      await media.start('camera');
      await media.start('audio');
    }
    window.room = room;
    window.encryption = encryption;
    window.setKey = set;
  }

  /** Frames that have arrived whole, and those that were decoded. */
  export async function frames() {
    let [received, decoded, samples] = [0, 0, 0];
    (await window.room.session.connection.getStats()).forEach((stat) => {
      if (stat.type !== 'inbound-rtp') return;
      if (stat.kind === 'video') { received += stat.packetsReceived; decoded += stat.framesDecoded; } else samples += stat.totalAudioEnergy ?? 0;
    });
    return { received, decoded, samples };
  }
`;

describe('an encrypted room', { skip: cannotRun() }, () => {
  let server;
  let scripts;
  const browsers = [];
  const pages = {};

  async function open(user, browser, options) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(11, 700, 640, 360);`);
    await openPage(page, server, '<body><video width="640" height="360"></video>', scripts.page);
    await page.evaluate((one) => app.member(one), { credentials: await ticket(server, user), workerText: scripts.worker, ...options });
    pages[user] = page;
  }

  const mark = () => window.frameMark.readVideo(document.querySelector('video'));

  before(async () => {
    server = await startServer();
    scripts = { page: await bundle({ text }), worker: await bundle({ text: "import './e2ee/worker';" }) };
    for (let count = 0; count < 2; count += 1) browsers.push(await startBrowser());
    await open('ann', browsers[0], { sends: true, keys: 1 });
    await open('bob', browsers[1], { keys: 1 });
    await open('cat', browsers[1], { keys: 2 });
    await open('dan', browsers[1], { encrypted: false });
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('nothing is sent before the sender has a key to send with', async () => {
    await until(pages.bob, 'the camera is announced', () => window.room.remotes.some(({ source }) => source === 'camera'), undefined, PATIENCE);
    await eventually('encoded frames', async () => pages.ann.evaluate(async () => {
      const stats = [...(await window.room.session.connection.getStats()).values()];
      return stats.some(({ type, kind, framesEncoded }) => type === 'outbound-rtp' && kind === 'video' && framesEncoded > 30);
    }), PATIENCE);
    assert.equal((await pages.bob.evaluate(() => app.frames())).received, 0);
  });

  test('a member with the key sees the frames and hears the audio', async () => {
    await pages.ann.evaluate(() => window.encryption.send(0));
    const first = await until(pages.bob, 'a marked frame', mark, undefined, PATIENCE);
    assert.equal(first.id, 11);
    await until(pages.bob, 'a later frame', `(${mark})()?.count > ${first.count} + 20`, undefined, PATIENCE);
    await eventually('the tone', async () => {
      const [tone, other] = await pages.bob.evaluate(() => window.toneLevels(document.querySelector('audio[data-user="ann"]').srcObject, [700, 1500]));
      return tone > -60 && tone - other > 20;
    }, PATIENCE);
    assert.deepEqual(await pages.bob.evaluate(() => [...new Set(window.states)].sort()), ['audio decrypted', 'video decrypted']);
  });

  test('a member with another key receives the packets and sees nothing', async () => {
    await until(pages.cat, 'both are told', () => window.states.includes('video wrong_key') && window.states.includes('audio wrong_key'), undefined, PATIENCE);
    await eventually('packets', async () => (await pages.cat.evaluate(() => app.frames())).received > 100, PATIENCE);
    const { decoded } = await pages.cat.evaluate(() => app.frames());
    assert.equal(decoded, 0);
    assert.equal(await pages.cat.evaluate(mark), null);
  });

  test('a member without encryption sees nothing that makes sense', async () => {
    await eventually('packets', async () => (await pages.dan.evaluate(() => app.frames())).received > 100, PATIENCE);
    assert.equal(await pages.dan.evaluate(mark), null);
  });

  test('with the right key the other member sees the frames, too', async () => {
    await pages.cat.evaluate(() => window.setKey(1));
    assert.equal((await until(pages.cat, 'a marked frame', mark, undefined, PATIENCE)).id, 11);
  });

  test('a codec that cannot be encrypted is refused', async () => {
    const code = await pages.bob.evaluate(async () => {
      try {
        await window.room.constructor.enter({ ...window.room.options, codec: 'h264', credentials: window.room.options.credentials });
        return 'entered';
      } catch (error) {
        return error.code;
      }
    });
    assert.equal(code, 'codec_not_supported');
  });
});
