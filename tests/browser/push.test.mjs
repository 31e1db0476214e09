// A member pushes their own media, and their mix, to another server by the web SDK. ffmpeg listens like another provider's server.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import tickets from 'tls-sig-api-v2';
import { cannotRun, eventually, freePort, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const [PERMITTED, REFUSED, LENT] = [1400000001, 1400000002, 1400000003];

function noFfmpeg() {
  if (!spawnSync('ffmpeg', ['-version']).error) return undefined;
  if (process.env.CI) throw new Error('CI must have ffmpeg');
  const reason = 'SKIPPED: no ffmpeg (apt-get install ffmpeg)';
  console.error(reason);
  return reason;
}

/** The marks in a row of cells of a recorded video, each once; `size`: of the video. */
function marksOf(file, [width, height], columns) {
  const page = {};
  new Function('window', 'document', tools)(page, { createElement: () => ({}) });
  const args = ['-v', 'error', '-i', file, '-vf', 'fps=2', '-f', 'rawvideo', '-pix_fmt', 'rgba', '-'];
  const { stdout } = spawnSync('ffmpeg', args, { maxBuffer: 1 << 28 });
  const length = width * height * 4;
  const cells = Array.from({ length: columns }, () => new Set());
  for (let at = 0; at + length <= stdout.length; at += length) {
    const frame = { data: stdout.subarray(at, at + length), width };
    cells.forEach((seen, column) => {
      const mark = page.frameMark.readPixels(frame, [(column * width) / columns, 0, width / columns, height]);
      if (mark) seen.add(mark.id);
    });
  }
  return cells.map((seen) => [...seen]);
}

/** The part of a file's sound that is a tone, 0 to 1 (Goertzel). */
function toneOf(file, hertz) {
  const rate = 48000;
  const { stdout } = spawnSync('ffmpeg', ['-v', 'error', '-i', file, '-f', 'f32le', '-ac', '1', '-ar', String(rate), '-'], { maxBuffer: 1 << 28 });
  const parts = [];
  const length = rate / 10;
  const turn = 2 * Math.cos((2 * Math.PI * hertz) / rate);
  for (let at = 0; at + length * 4 <= stdout.length; at += length * 4) {
    let [before, last, power] = [0, 0, 0];
    for (let index = 0; index < length; index += 1) {
      const sample = stdout.readFloatLE(at + index * 4);
      [before, last] = [last, sample + turn * last - before];
      power += sample * sample;
    }
    const ofTone = before * before + last * last - turn * before * last;
    parts.push(power > 1e-6 ? (2 * ofTone) / (length * power) : 0);
  }
  return parts.sort((a, b) => a - b)[parts.length >> 1] ?? 0;
}

describe('a push by a member', { skip: cannotRun() ?? noFfmpeg() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rotunda-push-'));
  const browsers = [];
  let server;
  let ann;
  let cat;
  /** An application whose settings change. The server knows it 2 seconds later. */
  let lent;

  async function enter(user, sdkAppId, secret = 'key') {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(11, 700, 640, 360);`);
    const userSig = new tickets.Api(sdkAppId, secret).genUserSig(user, 3600);
    const query = new URLSearchParams({ sdkAppId, userSig, room: 1001, user, codec: 'h264', auto: 1, audioProcessing: 'off' });
    await page.goto(`${server.url}/?${query}`);
    await until(page, `${user} sends a camera`, () => window.rotunda?.room.isPublishing('camera') && window.rotunda.peerConnection()?.connectionState === 'connected', undefined, 60);
    await page.evaluate(() => {
      window.states = [];
      window.rotunda.room.on('cdn-stream-state', (stream) => window.states.push(stream));
    });
    return page;
  }

  const start = (page, url) => page.evaluate((to) => window.rotunda.room.startPublishCDNStream({ url: to }).then(() => 'begun', ({ code, message }) => `${code}: ${message}`), url);
  const states = (page) => page.evaluate(() => window.states.map(({ state }) => state));

  before(async () => {
    const config = join(folder, 'rotunda.toml');
    const application = (id, more) => `[[applications]]\nsdk_app_id = ${id}\nsecret_key = "key"\nsecret_id = "id${id}"\napi_secret = "secret"\n${more}`;
    writeFileSync(config, `[server]\noutbound_networks = ["127.0.0.0/8"]\n${application(PERMITTED, 'members_may_push = true\n')}${application(REFUSED, '')}`);
    server = await startServer({ ROTUNDA_CONFIG: config });
    lent = JSON.parse(await server.run('apps', 'create', String(LENT), '--json', '--members-may-push'));
    ann = await enter('ann', PERMITTED);
  });

  after(async () => {
    await cat?.stop();
    for (const browser of browsers) await browser.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('arrives at the other server, and its states are told until it is over', async () => {
    const port = await freePort();
    const [url, file] = [`rtmp://127.0.0.1:${port}/live/key`, join(folder, 'pushed.flv')];
    const receiver = spawn('ffmpeg', ['-v', 'error', '-y', '-listen', '1', '-i', url, '-t', '4', '-c', 'copy', file], { stdio: ['ignore', 'ignore', 'inherit'] });
    const received = once(receiver, 'exit');
    assert.equal(await start(ann, url), 'begun');
    await until(ann, 'the other server takes it', () => window.states.some(({ state }) => state === 'running'), undefined, 90);
    const [code] = await received;
    assert.equal(code, 0);
    const codecs = spawnSync('ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_name', '-of', 'csv=p=0', file], { encoding: 'utf8' }).stdout;
    assert.deepEqual(codecs.trim().split(/\s+/).sort(), ['aac', 'h264']);
    // The receiver has gone.
    const lost = await until(ann, 'the loss is told with its reason', () => window.states.find(({ state, error }) => state === 'recovering' && error), undefined, 60);
    assert.equal(lost.source, 'camera');
    assert.ok(lost.error.message.length > 0 && !lost.error.message.includes('live/key'), JSON.stringify(lost));
    await ann.evaluate(() => window.rotunda.room.stopPublishCDNStream());
    await until(ann, 'the end is told', () => window.states.at(-1)?.state === 'ended');
    const [first] = await states(ann);
    assert.equal(first, 'connecting');
    await eventually('the stream is off the air', async () => /^rotunda_relay_streams 0$/m.test(await (await fetch(`${server.url}/metrics`)).text()), 60);
  });

  test('of a mix arrives with its cells and its sound, and ends with the mix', async () => {
    await ann.evaluate(() => window.states.splice(0));
    cat = server.start('join', '1001', '--user', 'cat', '--mark', '33', '--fps', '15', '--audio', 'none');
    const port = await freePort();
    const [url, file] = [`rtmp://127.0.0.1:${port}/live/key`, join(folder, 'mix.flv')];
    const receiver = spawn('ffmpeg', ['-v', 'error', '-y', '-listen', '1', '-i', url, '-t', '6', '-c', 'copy', file], { stdio: ['ignore', 'ignore', 'inherit'] });
    const received = once(receiver, 'exit');
    await until(ann, 'cat has come', () => window.rotunda.room.publishers.get('cat')?.camera, undefined, 60);
    const pushMix = (to) => ann.evaluate(async (address) => {
      const cell = (userId, x) => ({ userId, x, y: 0, width: 320, height: 180, zOrder: 1 });
      const config = { mode: 'manual', videoWidth: 640, videoHeight: 180, videoBitrate: 800, mixUsers: [cell('ann', 0), cell('cat', 320)] };
      const { room } = window.rotunda;
      const early = await room.startPublishCDNStream({ url: address, source: 'mix' }).then(() => 'begun', ({ code }) => code);
      await room.setMixTranscodingConfig(config);
      await room.startPublishCDNStream({ url: address, source: 'mix' });
      return early;
    }, to);
    assert.equal(await pushMix(url), 'not_published', 'there was no mix yet');
    await until(ann, 'the other server takes it', () => window.states.some(({ source, state }) => source === 'mix' && state === 'running'), undefined, 90);
    const [code] = await received;
    assert.equal(code, 0);
    assert.deepEqual(marksOf(file, [640, 180], 2), [[11], [33]]);
    const [own, none] = [toneOf(file, 700), toneOf(file, 1900)];
    assert.ok(own > 0.2 && own > 10 * none, `the tone of ann has ${own} of the sound, and one that nobody makes ${none}`);
    await ann.evaluate(() => window.rotunda.room.setMixTranscodingConfig(null));
    await until(ann, 'the end is told', () => window.states.at(-1)?.state === 'ended');
    assert.deepEqual(await ann.evaluate(() => [...new Set(window.states.map(({ source }) => source))]), ['mix']);
  });

  test('ends with the stay of the member', async () => {
    const url = `rtmp://127.0.0.1:${await freePort()}/live/key`;
    assert.equal(await start(ann, url), 'begun');
    const failed = await until(ann, 'nobody listens', () => window.states.find(({ state, error }) => state === 'connecting' && error?.kind === 'connection'), undefined, 90);
    assert.equal(failed.source, 'camera');
    await ann.evaluate(() => window.rotunda.room.leave());
    await eventually('the stream is off the air', async () => /^rotunda_relay_streams 0$/m.test(await (await fetch(`${server.url}/metrics`)).text()), 60);
  });

  test('ends when the operator withdraws the permission, and the member is told what to do', async () => {
    const dan = await enter('dan', LENT, lent.secret_key);
    const url = `rtmp://127.0.0.1:${await freePort()}/live/key`;
    assert.equal(await start(dan, url), 'begun');
    await until(dan, 'it is tried', () => window.states.some(({ state }) => state === 'connecting'), undefined, 60);
    await server.run('apps', 'set', String(LENT), '--members-may-push=false');
    const last = await until(dan, 'the end is told', () => window.states.find(({ state }) => state === 'ended'), undefined, 60);
    assert.deepEqual([last.source, last.error?.kind], ['camera', 'not_permitted']);
    assert.match(last.error.message, /MembersMayPush/);
    assert.match(await start(dan, url), /^push_refused: .*MembersMayPush/);
    await eventually('the stream is off the air', async () => /^rotunda_relay_streams 0$/m.test(await (await fetch(`${server.url}/metrics`)).text()), 60);
  });

  test('is refused where the application does not permit it, and into a network that the server does not reach', async () => {
    const bob = await enter('bob', REFUSED);
    assert.match(await start(bob, 'rtmp://127.0.0.1/live/key'), /^push_refused: .*MembersMayPush/);
    const eve = await enter('eve', PERMITTED);
    assert.match(await start(eve, 'rtmp://10.0.0.1/live/key'), /^bad_push: url: .*10\.0\.0\.1/);
    assert.match(await start(eve, 'http://127.0.0.1/live/key'), /^bad_push: url must begin with rtmp:\/\//);
    assert.deepEqual([await states(bob), await states(eve)], [[], []]);
  });
});
