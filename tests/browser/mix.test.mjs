// A mix as its viewers see it: cells keep their positions, and the application learns which tracks are missing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const APP = 1400000001;
const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

/** In the page: records the marks that each cell of the grid has shown, in order and without repetitions. */
function watchCells() {
  window.shown = [[], [], [], []];
  setInterval(() => {
    const video = document.getElementById('player');
    window.shown.forEach((seen, cell) => {
      const mark = window.frameMark.readVideo(video, 2, 2, cell % 2, cell >> 1);
      if (mark && seen.at(-1) !== mark.id) seen.push(mark.id);
    });
  }, 50);
}

/** In the page: enters a room and publishes a camera with only one codec. */
async function publishWith(codec, url, sdkAppId, userSig) {
  const socket = new WebSocket(url);
  await new Promise((resolve) => { socket.onopen = resolve; });
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    waiting.get(message.id)?.(message);
  };
  let id = 0;
  const ask = async (op, fields = {}) => {
    id += 1;
    const answer = new Promise((resolve) => { waiting.set(id, resolve); });
    socket.send(JSON.stringify({ id, op, ...fields }));
    const reply = await answer;
    if (reply.error) throw new Error(`${op}: ${JSON.stringify(reply.error)}`);
    return reply;
  };
  await ask('login', { sdkAppId, userId: 'dan', userSig });
  await ask('enterRoom', { roomId: 1001 });
  const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const [track] = (await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 180 } })).getVideoTracks();
  const camera = connection.addTransceiver(track, { direction: 'sendonly' });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  camera.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === `video/${codec}`));
  await connection.setLocalDescription(await connection.createOffer());
  const lines = { camera: camera.mid, audio: [], video: [] };
  const { answer } = await ask('connect', { offer: connection.localDescription.sdp, lines });
  await connection.setRemoteDescription({ type: 'answer', sdp: answer });
  await ask('publish', { source: 'camera' });
}

describe('a mix', { skip: cannotRun() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rotunda-mix-'));
  const calls = [];
  const backend = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    calls.push(JSON.parse(Buffer.concat(parts)));
    response.end('{"code":0}');
  });
  const members = {};
  let server;
  let browser;
  let page;

  const member = (user, mark) => {
    members[user] = server.start('join', '1001', '--user', user, '--mark', mark, '--fps', '15');
  };
  const shown = () => page.evaluate(() => window.shown);

  before(async () => {
    backend.listen(0, '127.0.0.1');
    await once(backend, 'listening');
    const config = join(folder, 'rotunda.toml');
    writeFileSync(config, `[server]\noutbound_networks = ["127.0.0.0/8"]\n[[applications]]\nsdk_app_id = ${APP}\nsecret_key = "key"\n`
      + `secret_id = "id"\napi_secret = "secret"\ncallback_url = "http://127.0.0.1:${backend.address().port}/"\ncallback_key = "testkey"\n`);
    server = await startServer({ ROTUNDA_CONFIG: config });
    member('ann', '11');
    await eventually('ann is in the room', () => server.run('mix', 'start', '1001', '--stream-id', 's1', '--size', '640x360').then(() => true, () => false));
    browser = await startBrowser();
    page = await browser.newPage();
    await page.addInitScript(tools);
    await page.goto(`${server.url}/player.html?stream=s1&type=flv`);
    await page.evaluate(`(${watchCells})()`);
    await until(page, 'ann in the first cell', () => window.shown[0].includes(11), undefined, 40);
    member('bob', '22');
    await until(page, 'bob', () => window.shown.flat().includes(22), undefined, 40);
    member('cat', '33');
    await until(page, 'four cells, as three members need', () => window.shown[2].includes(33), undefined, 40);
  });

  after(async () => {
    await browser?.close();
    for (const { stop } of Object.values(members)) await stop();
    await server?.stop();
    backend.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a publisher who reconnects gets the same cell, and no other cell moves', async () => {
    await page.evaluate(() => { window.shown.forEach((seen) => seen.splice(0)); });
    await members.ann.kill();
    const { currentTime } = await page.evaluate(() => ({ currentTime: document.getElementById('player').currentTime }));
    await until(page, 'two seconds of the mix without ann', (from) => document.getElementById('player').currentTime > from + 4, currentTime, 40);
    await page.evaluate(() => { window.shown[0].splice(0); });
    member('ann', '11');
    await until(page, 'ann in the first cell again', () => window.shown[0].includes(11), undefined, 40);
    assert.deepEqual(await shown(), [[11], [22], [33], []]);
  });

  test('the application gets a callback for a camera whose codec is not mixed', async () => {
    const sig = (await server.run('user-sig', 'dan')).trim().split('\n').at(-1);
    const url = `${server.url.replace('http', 'ws')}/ws`;
    const dan = await browser.newPage();
    await dan.goto(`${server.url}/healthz`);
    await dan.evaluate(`(${publishWith})(...${JSON.stringify(['AV1', url, APP, sig])})`);
    const told = await eventually('the callback', () => calls.find(({ event_type: type }) => type === 1001));
    assert.deepEqual(
      [told.user_id, told.track, told.codec, told.stream_id, told.sign.length],
      ['dan', 'camera', 'AV1', 's1', 32],
    );
    assert.match(told.errmsg, /camera.*dan.*AV1/i);
    await dan.close();
  });
});
