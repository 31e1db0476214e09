// A camera with the device library (device/demo) and its viewers in real Chromium: live view, talk-back, commands, recordings.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { badge, frames, mark, markedClip, noDemo, record, shows, startCamera } from './device_camera.mjs';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

/** The state of a connection of the page: `direct` or `server`. */
const selected = (page, name) => page.evaluate((which) => window.rotunda.link.connections[which]?.connectionState, name);

describe('a camera and its viewers', { skip: cannotRun() ?? noDemo() }, () => {
  let folder;
  let server;
  let camera;
  const browsers = [];

  async function view(query, hertz = 700) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage({ viewport: { width: 1200, height: 760 } });
    page.on('pageerror', (error) => console.error(error));
    await page.addInitScript(`${tools}\nmarkedDevices(11, ${hertz});`);
    await page.goto(`${server.url}/device.html?${query}`);
    return page;
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rotunda-device-'));
    markedClip(join(folder, 'one.h264'), 21, 4);
    markedClip(join(folder, 'two.h264'), 22, 4);
    server = await startServer();
    const clips = ['one.h264', 'two.h264'].map((name) => join(folder, name));
    camera = await startCamera(server, folder, { clips, options: ['--viewers', '2'] });
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    camera?.kill();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  let ann;
  let bob;

  test('one viewer gets the stream directly, two get it through the server, and the device sends it once', async () => {
    ann = await view('device=cam_front&user=ann');
    await frames(ann, 21);
    await badge(ann, 'Direct');
    await frames(ann, 21);
    const [alone] = await camera.status();
    assert.equal(alone.mode, 1, JSON.stringify(alone));
    bob = await view('device=cam_front&user=bob&direct=off');
    await frames(bob, 21);
    await badge(ann, 'Through the server');
    await badge(bob, 'Through the server');
    await frames(ann, 21);
    const both = await camera.status();
    assert.deepEqual(both.map(({ mode }) => mode), [2, 2], JSON.stringify(both));
    await camera.says(/event 3 visitor=0/);
  });

  test('audio of the camera, G.711 transcoded to Opus, is heard with its tone', async () => {
    const [tone, other] = await bob.evaluate(() => window.toneLevels(document.querySelector('#video').srcObject, [600, 1500]));
    assert.ok(tone > other + 20, `600 Hz: ${tone} dB, 1500 Hz: ${other} dB`);
  });

  test('statistics of a link are true', async () => {
    const from = await camera.status();
    await new Promise((resolve) => { setTimeout(resolve, 3000); });
    const to = await camera.status();
    const [link] = to;
    assert.ok(link.acked > from[0].acked, JSON.stringify([from, to]));
    // 600 kbit/s of video and 32 of audio.
    assert.ok(link.acked_rate > 30_000 && link.acked_rate < 160_000, JSON.stringify(link));
    assert.equal(link.buffered < 100_000, true, JSON.stringify(link));
  });

  test('the third viewer of a device for two gets an error', async () => {
    const cat = await view('device=cam_front&user=cat');
    await until(cat, 'the refusal', () => document.querySelector('#message').textContent.includes('2 viewers are there already'));
    await cat.close();
  });

  test('two viewers of two streams are served at once, one directly and one through the server', async () => {
    const from = camera.output().length;
    await bob.selectOption('#channel', '1');
    await frames(bob, 22);
    // The first stream has one viewer again.
    await badge(ann, 'Direct');
    await badge(bob, 'Through the server');
    await Promise.all([frames(ann, 21), frames(bob, 22)]);
    await camera.says(/event 3 visitor=0 channel=0/, from);
    const links = await camera.status();
    assert.deepEqual(links.map(({ visitor, channel, mode }) => ({ visitor, channel, mode })), [
      { visitor: 0, channel: 0, mode: 1 }, { visitor: 1, channel: 1, mode: 2 },
    ], JSON.stringify(links));
    assert.equal(await selected(ann, 'direct'), 'connected');
  });

  test('another quality of a channel is another stream', async () => {
    const from = camera.output().length;
    await bob.click('[data-quality="fl"]');
    await camera.says(/start visitor=1 channel=1 quality=0/, from);
    await camera.says(/stop visitor=1 channel=1 quality=2/, from);
    await frames(bob, 22);
  });

  test('a talking viewer is heard at the device, through the server and directly', async () => {
    for (const page of [bob, ann]) {
      const from = camera.output().length;
      await page.click('#talk');
      const [, visitor] = await camera.says(/talk start visitor=(\d)/, from);
      const [, hertz, share] = await camera.says(new RegExp(`heard visitor=${visitor} channel=\\d hertz=(\\d+) share=(0\\.[89]|1)`), from);
      assert.equal(Number(hertz), 700, `share ${share}`);
      await page.click('#talk');
      await camera.says(/talk stop/, from);
    }
  });

  test('the camera is moved, and commands of 16 KiB come back complete, in both directions', async () => {
    await ann.click('[aria-label="Right"]');
    await until(ann, 'the position', () => document.querySelector('#position').textContent === '{"pan":1,"tilt":0}');
    for (const page of [ann, bob]) {
      const same = await page.evaluate(async () => {
        const sent = Uint8Array.from({ length: 16 * 1024 }, (_, at) => (at * 7) % 256);
        const got = await window.rotunda.camera.command(0, sent);
        return got.length === sent.length && got.every((byte, at) => byte === sent[at]);
      });
      assert.ok(same);
      const refused = await page.evaluate(() => window.rotunda.link.request('command', { channel: 0 }, new Uint8Array(16 * 1024 + 1)).catch(({ code }) => code));
      assert.equal(refused, 'too_large');
      await page.evaluate(() => window.rotunda.link.answer('command', ({ binary }) => new TextEncoder().encode(`got ${new TextDecoder().decode(binary)}`)));
      const visitor = await page.evaluate(() => window.rotunda.camera.visitor);
      const from = camera.output().length;
      camera.tell(`command ${visitor} hello`);
      await camera.says(/command code=0 reply=got hello/, from);
    }
    const codes = await ann.evaluate(() => Promise.all([
      ['play', { channel: 9, quality: 'hd' }], ['stop', { channel: 0, quality: 'sd' }], ['nonsense', {}], ['seek', { channel: 0, time: 1 }],
      ['download', { channel: 0, name: '../secret' }], ['month', { channel: 0, year: 2026, month: 13 }],
    ].map(([op, fields]) => window.rotunda.link.request(op, fields).then(() => 'ok', ({ code }) => code))));
    assert.deepEqual(codes, ['no_such_channel', 'not_playing', 'bad_request', 'not_playing', 'bad_request', 'bad_request']);
  });

  test('recordings: calendar, play, pause, seek, speed, keyframes only, end', async () => {
    const now = new Date();
    const noon = new Date(now.getFullYear(), now.getMonth(), 2, 12).getTime() / 1000;
    record(camera, noon, 20, 33);
    record(camera, noon + 100, 4, 34);
    await ann.click('#tab-playback');
    const days = () => [...document.querySelectorAll('#calendar button.has')].map((button) => button.textContent);
    await until(ann, 'the day with recordings', `(${days})().join() === '2'`);
    await ann.click('#calendar button.has');
    await frames(ann, 33);
    const shown = () => ann.evaluate(mark);
    await ann.click('#pause');
    await until(ann, 'paused', () => document.querySelector('#pause').textContent === 'Resume');
    await new Promise((resolve) => { setTimeout(resolve, 700); });
    const [paused] = [await shown(), await new Promise((resolve) => { setTimeout(resolve, 1000); })];
    assert.deepEqual(await shown(), paused, 'the frame stays');
    await ann.click('#pause');
    await frames(ann, 33);
    const request = (op, fields) => ann.evaluate(([name, given]) => window.rotunda.link.request(name, { channel: 0, ...given }).then(() => 'ok', ({ code }) => code), [op, fields]);
    assert.equal(await request('seek', { time: (noon + 12) * 1000 }), 'ok');
    await until(ann, 'what was sought', `(() => { const mark = (${mark})(); return mark?.id === 33 && mark.count >= 300; })()`);
    assert.equal(await request('seek', { time: noon * 1000 }), 'ok');
    await until(ann, 'the beginning', `(() => { const mark = (${mark})(); return mark?.id === 33 && mark.count < 100; })()`);
    await ann.click('#keys');
    await until(ann, 'keyframes only', `(() => { const mark = (${mark})(); return mark?.count >= 100 && mark.count % 25 === 0; })()`);
    await ann.click('#keys');
    assert.equal(await request('seek', { time: (noon + 15) * 1000 }), 'ok');
    await until(ann, 'what was sought', `(() => { const mark = (${mark})(); return mark?.id === 33 && mark.count >= 375; })()`);
    await ann.click('#backwards');
    await until(ann, 'earlier frames', `(() => { const mark = (${mark})(); return mark?.id === 33 && mark.count < 300 && mark.count % 25 === 0; })()`);
    await ann.click('#backwards');
    await until(ann, 'every frame, forward again', `(() => { const mark = (${mark})(); return mark?.id === 33 && mark.count % 25 !== 0; })()`);
    await ann.selectOption('#speed', '10');
    assert.equal(await request('seek', { time: (noon + 18) * 1000 }), 'ok');
    // After the first recording the next one plays, and then the end comes.
    await until(ann, 'the next recording', shows(34));
    await until(ann, 'the end', () => document.querySelector('#cover').textContent.includes('ended'));
    await camera.says(/stop visitor=0 channel=0 quality=3/);
  });

  test('a file is downloaded completely, and continues where it was stopped', async () => {
    const name = await ann.evaluate(() => document.querySelector('#files button').dataset.file);
    const bytes = readFileSync(join(camera.card, name));
    const [download] = await Promise.all([ann.waitForEvent('download'), ann.click('#files button')]);
    assert.deepEqual(readFileSync(await download.path()), bytes);
    const resumed = await ann.evaluate(async ([file, size]) => {
      const had = [];
      const abort = new AbortController();
      const stopAtOnce = ({ received }) => { if (received >= size / 4) abort.abort(); };
      await window.rotunda.camera.download(0, { name: file, size }, stopAtOnce, abort.signal, had);
      const first = had.reduce((sum, piece) => sum + piece.length, 0);
      await window.rotunda.camera.download(0, { name: file, size }, () => {}, new AbortController().signal, had);
      return { first, bytes: [...new Uint8Array(await new Blob(had).arrayBuffer())] };
    }, [name, bytes.length]);
    assert.ok(resumed.first > 0 && resumed.first < bytes.length, `stopped at ${resumed.first} of ${bytes.length}`);
    assert.deepEqual(Buffer.from(resumed.bytes), bytes);
    await camera.says(/download start visitor=0 name=\S+ offset=[1-9]/);
  });

  test('each start has its stop, and the camera exits in order', async () => {
    await ann.click('#tab-live');
    await frames(ann, 21);
    const { code, out, err } = await camera.stop();
    assert.equal(code, 0, `${out}\n${err}`);
    const count = (word) => out.split('\n').filter((line) => line.startsWith(`${word} visitor=`)).sort().map((line) => line.slice(word.length));
    assert.deepEqual(count('start'), count('stop'));
    await until(ann, 'the camera is offline', () => document.querySelector('#cover').textContent.includes('offline'), undefined, 40);
    await ann.click('#back');
    await until(ann, 'the list of cameras', () => document.querySelector('#devices').checkVisibility() && document.querySelector('#device-list li'));
  });
});
