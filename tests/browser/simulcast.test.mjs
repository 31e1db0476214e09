// A viewer asks for a smaller video and for a larger one again; the size of the decoded frames follows, without a freeze.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
/** Divides by four. */
const CAMERA = { mark: 33, width: 1280, height: 720 };
const CODECS = ['vp8', 'h264', 'vp9', 'av1'];

/** In the publisher's page: three streams of every codec, even those for which browsers would use layers in one stream. */
function sendSimulcast() {
  const { addTransceiver } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function add(kind, init) {
    const encoding = (rid, scaleResolutionDownBy, maxBitrate) => ({ rid, scaleResolutionDownBy, maxBitrate, scalabilityMode: 'L1T1' });
    const sendEncodings = [encoding('q', 4, 150_000), encoding('h', 2, 500_000), encoding('f', 1, 1_700_000)];
    return addTransceiver.call(this, kind, init.sendEncodings ? { ...init, sendEncodings } : init);
  };
}

/** In the page: records the time and height of each shown frame. */
function note() {
  const video = document.querySelector('video[data-user="cam"]');
  const noted = [];
  const look = (now, { height }) => {
    noted.push({ at: now, height, mark: window.frameMark.readVideo(video)?.id });
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  window.noted = noted;
}

/** In the publisher's page: the state of each layer's encoder, as text. */
async function layersSent() {
  const connection = window.rotunda.peerConnection();
  const stats = [...(await connection.getStats()).values()].filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
  const encoders = stats.map((layer) => [layer.rid, layer.frameWidth, layer.frameHeight, layer.framesPerSecond, layer.framesEncoded,
    layer.keyFramesEncoded, layer.active, layer.qualityLimitationReason, layer.targetBitrate, layer.pliCount].join(' '));
  const parameters = connection.getSenders().filter(({ track }) => track?.kind === 'video').map((sender) => sender.getParameters().encodings);
  return `rid width height fps frames keys active limited target pli\n${encoders.join('\n')}\n${JSON.stringify(parameters)}`;
}

/** In the viewer's page: the state of each decoder, as text. */
async function framesReceived() {
  const stats = [...(await window.rotunda.peerConnection().getStats()).values()].filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
  const decoders = stats.map((slot) => [slot.mid, slot.packetsReceived, slot.packetsLost, slot.framesReceived, slot.framesDecoded,
    slot.keyFramesDecoded, slot.framesDropped, slot.frameHeight, slot.pliCount, slot.nackCount].join(' '));
  return `mid packets lost frames decoded keys dropped height pli nack\n${decoders.join('\n')}`;
}

for (const codec of CODECS) {
  describe(`a camera of three layers in ${codec}`, { skip: cannotRun() }, () => {
    let server;
    const browsers = [];
    let publisher;
    let viewer;

    before(async () => {
      server = await startServer();
      for (const _ of [0, 1]) browsers.push(await startBrowser());
      publisher = await browsers[0].newPage();
      await publisher.addInitScript(`${tools}\nmarkedDevices(${CAMERA.mark}, 700, ${CAMERA.width}, ${CAMERA.height});`);
      if (codec === 'vp9' || codec === 'av1') await publisher.addInitScript(sendSimulcast);
      await publisher.goto(`${server.url}/?room=1&user=cam&codec=${codec}&auto=1&audioProcessing=off`);
      await until(publisher, 'three layers are sent', async () => {
        const stats = [...(await window.rotunda?.peerConnection().getStats() ?? new Map()).values()];
        return stats.filter(({ type, kind, framesSent }) => type === 'outbound-rtp' && kind === 'video' && framesSent > 0).length === 3;
      }, undefined, 40);
      viewer = await browsers[1].newPage();
      await viewer.addInitScript(`${tools}\nnavigator.mediaDevices.getUserMedia = async () => new MediaStream();`);
      // A preview without a frame keeps the page loading for ever.
      await viewer.goto(`${server.url}/?room=1&user=eve&auto=1&adapt=off`, { waitUntil: 'domcontentloaded' });
      await explained(until(viewer, 'a frame', () => document.querySelector('video[data-user="cam"]')?.videoHeight, undefined, 30));
      await viewer.evaluate(note);
    });

    /** Adds the publisher's and the viewer's state to an error. */
    async function explained(done) {
      try {
        return await done;
      } catch (error) {
        const [sent, shown] = await Promise.all([publisher.evaluate(layersSent), viewer.evaluate(framesReceived)]);
        const metrics = await (await fetch(`${server.url}/metrics`)).text();
        const sfu = metrics.split('\n').filter((line) => /^rotunda_sfu_(allocations|keyframe|estimate|nack)/.test(line)).join('\n');
        throw new Error(`${error.message}\nsent: ${sent}\nreceived: ${shown}\n${sfu}\nserver: ${server.log()}`);
      }
    }

    after(async () => {
      for (const browser of browsers) await browser.close();
      await server?.stop();
    });

    /** Waits until frames of this height are shown, and fails if that took too long or the video froze meanwhile. */
    async function becomes(height, seconds) {
      await explained(until(viewer, `${height} lines`, (wanted) => window.noted.at(-1)?.height === wanted, height, seconds));
      // The new layer must continue, too.
      const shown = await eventually('50 more frames', async () => {
        const noted = await viewer.evaluate(() => window.noted);
        const turn = noted.findLastIndex((frame) => frame.height !== height);
        return noted.length - turn > 50 && noted;
      });
      const longest = Math.max(...shown.slice(1).map(({ at }, index) => at - shown[index].at));
      assert.ok(longest < 1000, `a freeze of ${longest} ms`);
      assert.equal(shown.at(-1).mark, CAMERA.mark);
      await viewer.evaluate(() => { window.noted.splice(0); });
    }

    const limit = (height) => viewer.evaluate(
      (wanted) => window.rotunda.room.limitHeight({ userId: 'cam', source: 'camera' }, wanted ?? undefined), height);

    test('is shown in full height with enough bandwidth', () => becomes(720, 40));

    for (const height of [180, 360, 720]) {
      test(`is shown in ${height} lines on request`, async () => {
        await limit(height === 720 ? null : height);
        await becomes(height, 20);
      });
    }
  });
}
