// The mix of a room plays in Chromium, over HTTP-FLV (mpegts.js), HLS (hls.js) and WHEP (WebRTC).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

describe('the live mix', { skip: cannotRun() }, () => {
  let server;
  let browser;
  const members = [];

  before(async () => {
    server = await startServer();
    // Three or four members make a grid of two by two, whose cells have the shape of their frames: nothing is
    // cropped.
    for (const [user, mark, codec] of [['ann', '11', 'h264'], ['bob', '22', 'vp8'], ['cat', '33', 'h264'], ['dan', '44', 'vp8']]) {
      members.push(server.start('join', '1001', '--user', user, '--mark', mark, '--codec', codec, '--fps', '15'));
    }
    for (let attempt = 0; ; attempt += 1) {
      try {
        await server.run('mix', 'start', '1001', '--stream-id', 'demo-1001', '--size', '1280x720');
        break;
      } catch (error) {
        if (attempt > 50) throw error;
      }
    }
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    for (const member of members) await member.stop();
    await server?.stop();
  });

  for (const type of ['flv', 'hls']) {
    test(`plays by ${type} and shows every member`, async () => {
      const page = await browser.newPage();
      await page.addInitScript(tools);
      await page.goto(`${server.url}/player.html?stream=demo-1001&type=${type}`);
      const marks = await until(page, 'all marks', () => {
        const video = document.getElementById('player');
        const found = [0, 1, 2, 3].map((cell) => window.frameMark.readVideo(video, 2, 2, cell % 2, cell >> 1));
        return found.every(Boolean) && found;
      }, undefined, 40);
      assert.deepEqual(marks.map((mark) => mark.id).sort(), [11, 22, 33, 44]);
      const before = await page.evaluate(() => document.getElementById('player').currentTime);
      await until(page, 'time goes on', (time) => document.getElementById('player').currentTime > time + 1, before);
      if (type === 'hls') {
        await until(page, 'hls.js plays parts of segments', () => {
          const fetched = performance.getEntriesByType('resource');
          return fetched.filter(({ name }) => /\/\d+\.\d+\.m4s/.test(name)).length > 5;
        });
      }
      await page.close();
    });
  }

  test('plays by WHEP, with audio', async () => {
    const page = await browser.newPage();
    await page.addInitScript(tools);
    await page.goto(`${server.url}/player.html`);
    await page.evaluate(async () => {
      const video = document.createElement('video');
      const stream = new MediaStream();
      Object.assign(video, { id: 'whep', autoplay: true, muted: true, srcObject: stream });
      document.body.append(video);
      const peer = new RTCPeerConnection();
      for (const kind of ['video', 'audio']) peer.addTransceiver(kind, { direction: 'recvonly' });
      peer.ontrack = ({ track }) => stream.addTrack(track);
      await peer.setLocalDescription();
      const answer = await fetch('/live/demo-1001.whep', {
        method: 'POST', headers: { 'content-type': 'application/sdp' }, body: peer.localDescription.sdp,
      });
      if (answer.status !== 201) throw new Error(await answer.text());
      window.session = { peer, address: answer.headers.get('location') };
      await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    });
    const marks = await until(page, 'all marks', () => {
      const video = document.getElementById('whep');
      const found = [0, 1, 2, 3].map((cell) => window.frameMark.readVideo(video, 2, 2, cell % 2, cell >> 1));
      return found.every(Boolean) && found;
    }, undefined, 40);
    assert.deepEqual(marks.map((mark) => mark.id).sort(), [11, 22, 33, 44]);
    await until(page, 'the beeps are heard', async () => {
      const report = [...(await window.session.peer.getStats()).values()];
      const audio = report.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
      return audio && audio.packetsReceived > 50 && audio.totalAudioEnergy > 0;
    }, undefined, 40);
    const ended = await page.evaluate(async () => (await fetch(window.session.address, { method: 'DELETE' })).status);
    assert.equal(ended, 200);
    await page.close();
  });

  test('low-latency HLS shows the same frame shortly after HTTP-FLV', async () => {
    const pages = [];
    for (const type of ['flv', 'hls']) {
      const page = await browser.newPage();
      await page.addInitScript(tools);
      await page.goto(`${server.url}/player.html?stream=demo-1001&type=${type}`);
      pages.push(page);
    }
    // The frame counter of the member in the first cell, and the time at which it was read.
    const read = () => {
      const mark = window.frameMark.readVideo(document.getElementById('player'), 2, 2, 0, 0);
      return mark && { ...mark, at: Date.now() };
    };
    const delays = [];
    for (let sample = 0; sample < 5; sample += 1) {
      const marks = [];
      for (const page of pages) marks.push(await until(page, 'a mark', read, undefined, 40));
      const [flv, hls] = marks;
      if (flv.id !== hls.id) continue;
      delays.push(((flv.count - hls.count) & 0xffff) / 15 + (hls.at - flv.at) / 1000);
      await pages[0].waitForTimeout(1000);
    }
    const text = delays.map((delay) => delay.toFixed(2)).join(', ');
    console.log(`low-latency HLS is behind HTTP-FLV by ${text} s`);
    assert.ok(delays.length > 0);
    for (const page of pages) await page.close();
  });
});
