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
const MARKS = { ann: '11', bob: '22', cat: '33' };
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

/**
 * In the page: enters a room and publishes a marked camera with only one codec (`fmtp`: with this in its parameters) and, if asked,
 * a microphone. `window.ask` sends further requests.
 */
async function publishWith({ codec, fmtp = '', mark, url, sdkAppId, userId, userSig, roomId, microphone = false }) {
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
    if (reply.error) throw new Error(`${op}: ${reply.error.code}: ${reply.error.message}`);
    return reply;
  };
  window.ask = ask;
  await ask('login', { sdkAppId, userId, userSig });
  await ask('enterRoom', { roomId });
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [320, 180];
  const context = canvas.getContext('2d', { alpha: false });
  let count = 0;
  setInterval(() => {
    context.fillStyle = '#606060';
    context.fillRect(0, 0, canvas.width, canvas.height);
    window.frameMark.draw(context, mark, count);
    count += 1;
  }, 66);
  const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const lines = { audio: [], video: [] };
  const audio = microphone && connection.addTransceiver((await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks()[0], { direction: 'sendonly' });
  const camera = connection.addTransceiver(canvas.captureStream(15).getVideoTracks()[0], { direction: 'sendonly' });
  const codecs = RTCRtpSender.getCapabilities('video').codecs
    .filter(({ mimeType, sdpFmtpLine }) => mimeType === `video/${codec}` && (sdpFmtpLine ?? '').includes(fmtp));
  if (codecs.length === 0) return false;
  camera.setCodecPreferences(codecs);
  await connection.setLocalDescription(await connection.createOffer());
  lines.camera = camera.mid;
  if (audio) lines.microphone = audio.mid;
  const { answer } = await ask('connect', { offer: connection.localDescription.sdp, lines });
  await connection.setRemoteDescription({ type: 'answer', sdp: answer });
  if (audio) await ask('publish', { source: 'audio' });
  await ask('publish', { source: 'camera' });
  return true;
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
    for (const [user, mark] of Object.entries(MARKS)) member(user, mark);
    await eventually('the mix starts', () => server.run('mix', 'start', '1001', '--stream-id', 's1', '--size', '640x360').then(() => true, () => false));
    browser = await startBrowser();
    page = await browser.newPage();
    await page.addInitScript(tools);
    await page.goto(`${server.url}/player.html?stream=s1&type=flv`);
    await page.evaluate(`(${watchCells})()`);
    await until(page, 'three members in a grid of two by two', () => window.shown.slice(0, 3).every((seen) => seen.length > 0), undefined, 40);
  });

  after(async () => {
    await browser?.close();
    for (const { stop } of Object.values(members)) await stop();
    await server?.stop();
    backend.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a publisher who reconnects gets the same cell, and no other cell moves', async () => {
    const before = (await shown()).map((seen) => seen.at(-1));
    const first = Object.keys(MARKS).find((user) => Number(MARKS[user]) === before[0]);
    await page.evaluate(() => { window.shown.forEach((seen) => seen.splice(0)); });
    await members[first].kill();
    const from = await page.evaluate(() => document.getElementById('player').currentTime);
    await until(page, 'four seconds of the mix without them', (then) => document.getElementById('player').currentTime > then + 4, from, 40);
    await page.evaluate(() => { window.shown[0].splice(0); });
    member(first, MARKS[first]);
    await until(page, 'they are in the first cell again', (mark) => window.shown[0].includes(mark), before[0], 40);
    assert.deepEqual(await shown(), [[before[0]], [before[1]], [before[2]], []]);
  });

  /** A page of a member who publishes; false in place of it: the browser does not have that codec. */
  const publisher = async (userId, settings) => {
    const userSig = (await server.run('user-sig', userId)).trim().split('\n').at(-1);
    const url = `${server.url.replace('http', 'ws')}/ws`;
    const page = await browser.newPage();
    await page.addInitScript(tools);
    await page.goto(`${server.url}/healthz`);
    const asked = { url, sdkAppId: APP, userId, userSig, roomId: 1001, mark: 44, ...settings };
    const publishes = await page.evaluate(`(${publishWith})(${JSON.stringify(asked)})`);
    return publishes && page;
  };

  test('the application gets a callback for a camera whose codec is not mixed', async () => {
    // 10 bits.
    const eve = await publisher('eve', { codec: 'VP9', fmtp: 'profile-id=2' });
    const told = await eventually('the callback', () => calls.find(({ event_type: type }) => type === 1001));
    assert.deepEqual(
      [told.user_id, told.track, told.codec, told.stream_id, told.sign.length],
      ['eve', 'camera', 'VP9', 's1', 32],
    );
    assert.match(told.errmsg, /camera.*eve.*VP9/i);
    await eve.evaluate(() => window.ask('exitRoom'));
    await eve.close();
  });

  test('AV1 is mixed, and is not barred', async () => {
    const order = (await shown()).slice(0, 3).map((seen) => seen.at(-1));
    await page.evaluate(() => { window.shown[3].splice(0); });
    const gus = await publisher('gus', { codec: 'AV1', fmtp: 'profile=0', mark: 66 });
    await until(page, 'the mark of the AV1 camera', () => window.shown[3].includes(66), undefined, 60);
    const from = await page.evaluate(() => { window.shown.forEach((seen) => seen.splice(0)); return document.getElementById('player').currentTime; });
    await until(page, 'three more seconds of the mix', (then) => document.getElementById('player').currentTime > then + 3, from, 60);
    assert.deepEqual(await shown(), [...order, 66].map((mark) => [mark]));
    const metrics = await fetch(`${server.url}/metrics`).then((response) => response.text());
    assert.doesNotMatch(metrics, /^rotunda_mcu_barred_tracks_total/m);
    await gus.evaluate(() => window.ask('exitRoom'));
    await gus.close();
  });

  test('a member starts a mix, and it ends when they want', async () => {
    const fay = await publisher('fay', { codec: 'VP8', roomId: 1002, mark: 55, microphone: true });
    const set = (config) => fay.evaluate((config) => window.ask('setMixTranscodingConfig', { config }).then(() => 'done', ({ message }) => message), config);
    const cell = { userId: '$PLACE_HOLDER_LOCAL_MAIN$', width: 640, height: 360 };
    const config = { mode: 'presetLayout', videoWidth: 640, videoHeight: 360, mixUsers: [cell] };
    assert.match(await set({ ...config, videoFramerate: 31 }), /bad_mix: videoFramerate must be 1 to 30, not 31/);
    assert.equal(await set(config), 'done');
    const player = await browser.newPage();
    await player.addInitScript(tools);
    await player.goto(`${server.url}/player.html?stream=${APP}_1002_fay_main&type=flv`);
    await until(player, 'the mark on the whole canvas', () => {
      const video = document.getElementById('player');
      return window.frameMark.readVideo(video, 1, 1, 0, 0)?.id === 55;
    }, undefined, 40);
    await player.close();
    assert.equal(await set(null), 'done');
    await eventually('the stream is gone', () => fetch(`${server.url}/live/${APP}_1002_fay_main.flv`).then(({ status }) => status === 404));
    await fay.close();
  });
});
