// Devices in calls: a shared screen with its audio, devices that may not be used, the choice of devices, ring tones.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PATIENCE, callPages, people } from './call_pages.mjs';
import { cannotRun, eventually, startServer, until } from './support.mjs';

const SCREEN = { id: 55, tone: 2600 };

/** A WAV file: 8000 samples per second, 8 bits, mono. */
function secondOfSilence() {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + 8000, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8000, 24);
  header.writeUInt32LE(8000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write('data', 36);
  header.writeUInt32LE(8000, 40);
  return Buffer.concat([header, Buffer.alloc(8000, 128)]);
}

describe('devices in calls', { skip: cannotRun() }, () => {
  let server;
  const { open, status, press, dial, sees, hears, inspect, close } = callPages(() => server);

  before(async () => { server = await startServer(); });

  after(async () => {
    await close();
    await server?.stop();
  });

  test('a screen is shared with its audio, beside the cameras', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')];
    await ann.evaluate(([id, tone]) => {
      const camera = navigator.mediaDevices.getUserMedia;
      window.markedDevices(id, tone, 960, 540);
      const screen = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = camera;
      navigator.mediaDevices.getDisplayMedia = (wanted) => {
        window.askedForScreen = wanted;
        return screen({ video: true, audio: true });
      };
    }, [SCREEN.id, SCREEN.tone]);
    await dial(ann, 'bob');
    await status(bob, 'calling');
    await press(bob, 'Accept');
    await sees(bob, 'ann');
    await press(ann, 'Share screen');
    await until(bob, 'the frames of the screen', (id) => window.markOf('ann', 'screen')?.id === id, SCREEN.id, PATIENCE);
    await sees(bob, 'ann');
    assert.equal(await ann.evaluate(() => window.askedForScreen.audio), true, 'its audio is asked for');
    const heard = async () => bob.evaluate(async (tones) => window.toneLevels(document.querySelector('audio[data-user="ann"]').srcObject, tones), [people.ann.tone, SCREEN.tone, 3333]);
    await eventually('microphone and screen together', async () => {
      const [microphone, screen, silence] = await heard();
      return microphone > silence + 20 && screen > silence + 20;
    }, PATIENCE);
    await press(ann, 'Mute');
    await eventually('the screen alone', async () => {
      const [microphone, screen, silence] = await heard();
      return microphone < screen - 20 && screen > silence + 20;
    }, PATIENCE);
    await inspect(bob, 'screen');
    await press(ann, 'Unmute');
    await press(ann, 'Stop sharing');
    await until(bob, 'no screen', () => !window.inside('video[data-source="screen"]') && !window.inside('.tiles.presents'), undefined, PATIENCE);
    await eventually('the microphone alone', async () => {
      const [microphone, screen, silence] = await heard();
      return screen < microphone - 20 && microphone > silence + 20;
    }, PATIENCE);
    await press(bob, 'Hang up');
    await status(ann, 'idle');
    for (const page of [ann, bob]) await page.close();
  });

  test('a device that may not be used is named with another attempt, and another device is chosen', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')];
    await ann.evaluate(() => {
      const permitted = navigator.mediaDevices.getUserMedia;
      window.permit = () => { navigator.mediaDevices.getUserMedia = permitted; };
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        if (wanted.video) throw new DOMException('Permission denied', 'NotAllowedError');
        return permitted(wanted);
      };
    });
    await dial(ann, 'bob');
    await status(bob, 'calling');
    await press(bob, 'Accept');
    const words = 'This page may not use the camera. Allow it with the icon beside the address, then try again.';
    await until(ann, 'the reason', (text) => window.inside('.notice p')?.textContent === text, words, PATIENCE);
    await hears(bob, 'ann');
    await inspect(ann, 'notice');
    await ann.evaluate(() => window.permit());
    await press(ann, 'Try again');
    await until(ann, 'no notice', () => !window.inside('.notice'), undefined, PATIENCE);
    await sees(bob, 'ann');

    await press(ann, 'Devices');
    await until(ann, 'the cameras', () => window.inside('select[data-kind="videoinput"]').options.length > 1, undefined, PATIENCE);
    await inspect(ann, 'devices');
    const asked = await ann.evaluate(() => {
      const own = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = (wanted) => {
        window.askedFor = wanted.video.deviceId;
        return own(wanted);
      };
      return window.inside('select[data-kind="videoinput"]').options[1].value;
    });
    await ann.locator('#call').locator('select[data-kind="videoinput"]').selectOption({ index: 1 });
    await until(ann, 'the chosen camera', (id) => window.askedFor === id, asked, PATIENCE);
    assert.equal(JSON.parse(await ann.evaluate(() => localStorage.getItem('rotunda-call-devices'))).videoinput, asked, 'it is kept for later calls');
    await sees(bob, 'ann');
    await press(bob, 'Hang up');
    await status(ann, 'idle');
    for (const page of [ann, bob]) await page.close();
  });

  test('the ring tone is an audio file where the user has one, and the generated one if it is missing', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')];
    await bob.evaluate(() => {
      window.played = [];
      const { play } = HTMLMediaElement.prototype;
      HTMLMediaElement.prototype.play = function () {
        if (this instanceof HTMLAudioElement && this.src) window.played.push(this);
        return play.call(this);
      };
      const { start } = OscillatorNode.prototype;
      OscillatorNode.prototype.start = function (...at) {
        window.generated = true;
        return start.apply(this, at);
      };
    });
    await bob.route('**/bell.wav', (route) => route.fulfill({ contentType: 'audio/wav', body: secondOfSilence() }));
    await bob.route('**/missing.wav', (route) => route.fulfill({ status: 404 }));
    await bob.evaluate(() => document.querySelector('#call').setCallingBell(`${location.origin}/bell.wav`));
    await dial(ann, 'bob');
    await until(bob, 'the file rings', () => window.played.some(({ src, paused, currentTime }) => src.endsWith('/bell.wav') && !paused && currentTime > 0), undefined, PATIENCE);
    assert.equal(await bob.evaluate(() => Boolean(window.generated)), false);
    await press(ann, 'Cancel');
    await until(bob, 'silence', () => window.played.every(({ paused }) => paused), undefined, PATIENCE);

    await bob.evaluate(() => document.querySelector('#call').setCallingBell(`${location.origin}/missing.wav`));
    await dial(ann, 'bob');
    await until(bob, 'the generated tone', () => window.generated, undefined, PATIENCE);
    await press(ann, 'Cancel');
    await status(bob, 'idle');
    for (const page of [ann, bob]) await page.close();
  });
});
