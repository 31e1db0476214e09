// Nine microphones in one room: Chromium hears six, and every new speaker from the first syllable.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const APP = 1400000001;
const MICROPHONES = 9;

/** In the page: members of a room that send a tone or silence, and one that listens. */
function room() {
  const audio = new AudioContext();
  const members = {};
  window.members = members;

  /** Sends one request at a time, and keeps the newest `slots`. */
  async function signaling(url) {
    const socket = new WebSocket(url);
    const waiting = new Map();
    const told = { slots: [] };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.event === 'slots') told.slots = message.audio;
      waiting.get(message.id)?.(message);
    };
    await new Promise((resolve) => { socket.onopen = resolve; });
    let id = 0;
    const ask = async (op, fields = {}) => {
      id += 1;
      const answer = new Promise((resolve) => { waiting.set(id, resolve); });
      socket.send(JSON.stringify({ id, op, ...fields }));
      const reply = await answer;
      if (reply.error) throw new Error(`${op}: ${reply.error.code}`);
      return reply;
    };
    return { ask, told };
  }

  window.enter = async (url, sdkAppId, userId, userSig) => {
    const { ask, told } = await signaling(url);
    await ask('login', { sdkAppId, userId, userSig });
    await ask('enterRoom', { roomId: 'many' });
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const microphone = connection.addTransceiver('audio', { direction: 'sendonly' });
    const slots = Array.from({ length: 6 }, () => connection.addTransceiver('audio', { direction: 'recvonly' }));
    await connection.setLocalDescription(await connection.createOffer());
    const lines = { microphone: microphone.mid, audio: slots.map(({ mid }) => mid), video: [] };
    const { answer } = await ask('connect', { offer: connection.localDescription.sdp, lines });
    await connection.setRemoteDescription({ type: 'answer', sdp: answer });
    members[userId] = { ask, told, connection, microphone, slots };
  };

  window.speak = async (userId) => {
    const tone = new OscillatorNode(audio, { frequency: 440 });
    const gain = new GainNode(audio, { gain: 0 });
    const out = new MediaStreamAudioDestinationNode(audio);
    tone.connect(gain).connect(out);
    tone.start();
    const member = members[userId];
    await member.ask('publish', { source: 'audio' });
    await member.microphone.sender.replaceTrack(out.stream.getAudioTracks()[0]);
    Object.assign(member, { tone, gain });
  };

  /** The first 50 ms are so quiet that they count as silence, at -57 dBov and another pitch, like the f of "four". */
  window.talk = (userId, first, rest) => {
    const { tone, gain } = members[userId];
    const now = audio.currentTime + 0.05;
    tone.frequency.setValueAtTime(first, now);
    gain.gain.setValueAtTime(0.002, now);
    tone.frequency.setValueAtTime(rest, now + 0.05);
    gain.gain.setValueAtTime(0.3, now + 0.05);
  };

  window.hush = (userId) => { members[userId].gain.gain.value = 0; };

  /** Records every 10 ms the pitch of each slot, in steps of 50 Hz; 0: silence. */
  window.listen = (userId) => {
    const member = members[userId];
    member.heard = member.slots.map(() => []);
    member.slots.forEach(({ receiver }, index) => {
      const stream = new MediaStream([receiver.track]);
      // Without an element Chromium does not decode.
      const element = new Audio();
      Object.assign(element, { srcObject: stream, muted: true });
      void element.play();
      const analyser = new AnalyserNode(audio, { fftSize: 2048, smoothingTimeConstant: 0 });
      new MediaStreamAudioSourceNode(audio, { mediaStream: stream }).connect(analyser);
      const bins = new Float32Array(analyser.frequencyBinCount);
      setInterval(() => {
        analyser.getFloatFrequencyData(bins);
        let best = 0;
        for (let bin = 1; bin < bins.length; bin += 1) if (bins[bin] > bins[best]) best = bin;
        const pitch = (best * audio.sampleRate) / analyser.fftSize;
        member.heard[index].push(bins[best] > -85 ? Math.round(pitch / 50) * 50 : 0);
      }, 10);
    });
  };
}

describe('nine microphones', { skip: cannotRun() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rotunda-loudest-'));
  let server;
  let browser;
  let page;

  const slots = () => page.evaluate(() => window.members.listener.told.slots);

  before(async () => {
    const config = join(folder, 'rotunda.toml');
    writeFileSync(config, `[[applications]]\nsdk_app_id = ${APP}\nsecret_key = "key"\nsecret_id = "id"\napi_secret = "secret"\nmax_microphones = ${MICROPHONES}\n`);
    server = await startServer({ ROTUNDA_CONFIG: config });
    browser = await startBrowser();
    page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(`${server.url}/healthz`);
    await page.evaluate(`(${room})()`);
    const enter = async (user) => {
      const sig = (await server.run('user-sig', user)).trim().split('\n').at(-1);
      const url = `${server.url.replace('http', 'ws')}/ws`;
      await page.evaluate(([...all]) => window.enter(...all), [url, APP, user, sig]);
    };
    for (let number = 1; number <= MICROPHONES; number += 1) {
      await enter(`user${number}`);
      await page.evaluate((user) => window.speak(user), `user${number}`);
    }
    await enter('listener');
    await page.evaluate(() => window.listen('listener'));
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('six of them are heard, and the tenth is refused', async () => {
    await until(page, 'six voices', () => window.members.listener.told.slots.filter(Boolean).length === 6);
    const refused = await page.evaluate(() => window.speak('listener').catch((error) => error.message));
    assert.equal(refused, 'publish: too_many_audio_publishers');
  });

  test('a new speaker is heard from the first syllable', async () => {
    for (let round = 0; round < 3; round += 1) {
      const silent = Array.from({ length: MICROPHONES }, (_, index) => `user${index + 1}`);
      const before = await slots();
      const talker = silent.find((user) => !before.includes(user));
      await page.evaluate(() => { window.members.listener.heard.forEach((slot) => slot.splice(0)); });
      await page.evaluate(([user]) => window.talk(user, 1000, 2000), [talker]);
      await until(page, `${talker} has a slot`, (user) => window.members.listener.told.slots.includes(user), talker, 5);
      const slot = (await slots()).indexOf(talker);
      await until(page, 'the rest of the words', (index) => window.members.listener.heard[index].filter((pitch) => pitch === 2000).length > 20, slot, 5);
      const heard = await page.evaluate((index) => window.members.listener.heard[index], slot);
      const syllable = heard.filter((pitch) => Math.abs(pitch - 1000) <= 50).length * 10;
      // The loud rest covers a part of its 50 ms, because the analyser uses windows of 43 ms.
      assert.ok(syllable > 0, `${syllable} ms of the first syllable: ${heard.slice(0, 80)}`);
      assert.ok(heard.findIndex((pitch) => pitch === 1000) < heard.findIndex((pitch) => pitch === 2000));
      await page.evaluate((user) => window.hush(user), talker);
    }
  });

  test('while six talk a seventh waits, and nothing flaps', async () => {
    const six = await slots();
    for (const user of six) await page.evaluate(([name]) => window.talk(name, 800, 800), [user]);
    await page.waitForFunction(() => window.members.listener.heard.every((slot) => slot.at(-1) === 800), undefined, { timeout: 5000, polling: 100 });
    const seventh = Array.from({ length: MICROPHONES }, (_, index) => `user${index + 1}`).find((user) => !six.includes(user));
    await page.evaluate(([name]) => window.talk(name, 1500, 1500), [seventh]);
    const changes = await page.evaluate(() => new Promise((resolve) => {
      const seen = new Set();
      const look = setInterval(() => seen.add(JSON.stringify(window.members.listener.told.slots)), 20);
      setTimeout(() => { clearInterval(look); resolve([...seen]); }, 3000);
    }));
    assert.deepEqual(changes, [JSON.stringify(six)]);
    await page.evaluate((user) => window.hush(user), six[0]);
    await until(page, 'the seventh replaces the quietest', (user) => window.members.listener.told.slots.includes(user), seventh, 5);
    const now = await slots();
    assert.ok(!now.includes(six[0]), JSON.stringify(now));
  });
});
