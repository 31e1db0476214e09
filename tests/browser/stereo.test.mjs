// Stereo: two different tones, left and right, are heard left and right by another member with the web SDK.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const [LEFT, RIGHT] = [700, 1700];

/** In the page: a microphone with one tone per channel. */
function stereoMicrophone([left, right]) {
  const context = new AudioContext();
  const merger = context.createChannelMerger(2);
  [left, right].forEach((hertz, side) => {
    const oscillator = context.createOscillator();
    const gain = context.createGain();
    oscillator.frequency.value = hertz;
    gain.gain.value = 0.4;
    oscillator.connect(gain).connect(merger, 0, side);
    oscillator.start();
  });
  const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
  merger.connect(destination);
  navigator.mediaDevices.getUserMedia = async ({ audio }) => new MediaStream(audio ? destination.stream.getAudioTracks() : []);
}

/** In the page: how much louder (decibels) each channel has its own tone than that of the other channel. */
async function separation([left, right]) {
  const track = window.rotunda.room.remotes.find(({ source }) => source === 'audio')?.track;
  if (!track) return null;
  const context = (window.listening ??= new AudioContext());
  const splitter = context.createChannelSplitter(2);
  context.createMediaStreamSource(new MediaStream([track])).connect(splitter);
  const analysers = [0, 1].map((side) => {
    const analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0, channelCount: 1, channelCountMode: 'explicit' });
    splitter.connect(analyser, side);
    return analyser;
  });
  await new Promise((resolve) => { setTimeout(resolve, 600); });
  const levels = analysers.map((analyser) => {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    return [left, right].map((hertz) => {
      const bin = Math.round((hertz * analyser.fftSize) / context.sampleRate);
      return Math.max(...bins.slice(bin - 1, bin + 2));
    });
  });
  return [levels[0][0] - levels[0][1], levels[1][1] - levels[1][0]];
}

describe('stereo', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];

  async function join(user, query) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`(${stereoMicrophone})([${LEFT}, ${RIGHT}])`);
    await page.goto(`${server.url}/?room=1001&user=${user}&auto=1&audioProcessing=off${query}`);
    await until(page, 'in the room', () => window.rotunda?.peerConnection()?.connectionState === 'connected');
    return page;
  }

  before(async () => { server = await startServer(); });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('the left tone is heard left and the right tone right', async () => {
    await join('ann', '&stereo=1');
    const bob = await join('bob', '');
    const apart = await until(bob, 'both sides apart', `(${separation})([${LEFT}, ${RIGHT}]).then((sides) => sides?.every((side) => side > 20) && sides)`, undefined, 30);
    assert.ok(apart.every((side) => side > 20), `${apart} dB`);
  });
});
