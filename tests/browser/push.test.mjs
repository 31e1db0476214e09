// A member pushes their own media to another server by the web SDK. ffmpeg listens like another provider's server.

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
const [PERMITTED, REFUSED] = [1400000001, 1400000002];

function noFfmpeg() {
  if (!spawnSync('ffmpeg', ['-version']).error) return undefined;
  if (process.env.CI) throw new Error('CI must have ffmpeg');
  const reason = 'SKIPPED: no ffmpeg (apt-get install ffmpeg)';
  console.error(reason);
  return reason;
}

describe('a push by a member', { skip: cannotRun() ?? noFfmpeg() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rotunda-push-'));
  const browsers = [];
  let server;
  let ann;

  async function enter(user, sdkAppId) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(11, 700, 640, 360);`);
    const userSig = new tickets.Api(sdkAppId, 'key').genUserSig(user, 3600);
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
    ann = await enter('ann', PERMITTED);
  });

  after(async () => {
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

  test('ends with the stay of the member', async () => {
    const url = `rtmp://127.0.0.1:${await freePort()}/live/key`;
    assert.equal(await start(ann, url), 'begun');
    const failed = await until(ann, 'nobody listens', () => window.states.find(({ state, error }) => state === 'connecting' && error?.kind === 'connection'), undefined, 90);
    assert.equal(failed.source, 'camera');
    await ann.evaluate(() => window.rotunda.room.leave());
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
