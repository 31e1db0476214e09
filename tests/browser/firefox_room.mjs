// A Firefox and a Chromium meet in a room by the demo page; run by firefox.test.mjs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startFirefox } from './firefox.mjs';
import { eventually, startBrowser, startServer } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
/** Large enough for three layers, each a quarter or half of it. */
const SIZE = { width: 960, height: 540 };
const fox = { user: 'fox', id: 44, tone: 800 };
const kim = { user: 'kim', id: 55, tone: 1600 };

/** The mark, the size and the number of decoded frames of a user's video. */
async function shown(user) {
  const video = document.querySelector(`video[data-user="${user}"]`);
  const track = video?.srcObject?.getVideoTracks()[0];
  const mark = window.frameMark.readVideo(video);
  if (!track || !mark) return null;
  const receiver = window.rotunda.peerConnection().getReceivers().find((one) => one.track.id === track.id);
  const stats = [...(await receiver.getStats()).values()].find(({ type }) => type === 'inbound-rtp');
  return { ...mark, width: video.videoWidth, height: video.videoHeight, decoded: stats.framesDecoded };
}

/** The average loudness of the arriving audio, 0 to 1, over this many milliseconds. */
async function heardIn(milliseconds) {
  const read = async () => {
    const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
    const audio = stats.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    return audio.reduce((sum, { totalAudioEnergy }) => sum + totalAudioEnergy, 0);
  };
  const before = await read();
  await new Promise((resolve) => { setTimeout(resolve, milliseconds); });
  return Math.sqrt((await read() - before) / (milliseconds / 1000));
}

/** In a page that may be blank: the marked camera, and Firefox's own microphone. */
const foxDevices = `if (navigator.mediaDevices) {
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  markedDevices(${fox.id}, 0, ${SIZE.width}, ${SIZE.height});
  const marked = navigator.mediaDevices.getUserMedia;
  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => new MediaStream([
    ...(await marked({ video })).getTracks(),
    ...(audio ? (await own({ audio: true })).getTracks() : []),
  ]);
}`;

describe('a Firefox and a Chromium', () => {
  let server;
  const browsers = [];
  const pages = {};

  const enter = ({ user }, codec) => {
    const url = `${server.url}/?room=1001&user=${user}&codec=${codec}&auto=1&audioProcessing=off&adapt=off`;
    return pages[user].goto(url, { waitUntil: 'domcontentloaded' });
  };

  before(async () => {
    server = await startServer({ ROTUNDA__SIGNALING__RESUME_SECONDS: '3' });
    const firefox = await startFirefox(fox.tone);
    browsers.push(firefox);
    pages.fox = await firefox.newPage();
    await pages.fox.evaluateOnNewDocument(`${tools}\n${foxDevices}`);
    const chromium = await startBrowser();
    browsers.push(chromium);
    pages.kim = await chromium.newPage();
    await pages.kim.addInitScript(`${tools}\nmarkedDevices(${kim.id}, ${kim.tone}, ${SIZE.width}, ${SIZE.height});`);
    for (const [user, page] of Object.entries(pages)) page.on('pageerror', (error) => console.error(`${user}:`, error));
    await enter(fox, 'vp8');
    await enter(kim, 'vp8');
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  /** Waits until one sees this many frames of the other, and returns the last state. */
  async function sees(me, other, frames = 40, isRight = () => true) {
    let first;
    const last = await eventually(`${me.user} sees ${other.user}`, async () => {
      const now = await pages[me.user].evaluate(shown, other.user);
      if (!now || !isRight(now)) {
        first = undefined;
        return false;
      }
      first ??= now;
      return now.decoded - first.decoded >= frames && ((now.count - first.count) & 0xffff) >= frames && now;
    }, 40);
    assert.equal(last.id, other.id);
    return last;
  }

  for (const [me, other] of [[fox, kim], [kim, fox]]) {
    test(`${me.user} sees ${other.user}'s own frames, in the camera's proportions, and the frame counter advances`, async () => {
      const { width, height } = await sees(me, other);
      assert.ok(Math.abs(width / height - SIZE.width / SIZE.height) < 0.02, `${width} x ${height}`);
    });
  }

  test("kim hears Firefox's tone and not the own one", async () => {
    const levels = await eventually('the tone', async () => {
      const [theirs, mine] = await pages.kim.evaluate(async (tones) => {
        const audio = document.querySelector('audio[data-user="fox"]');
        return audio?.srcObject ? window.toneLevels(audio.srcObject, tones) : [-200, -200];
      }, [fox.tone, kim.tone]);
      return theirs > -60 && { theirs, mine };
    }, 30);
    assert.ok(levels.theirs > levels.mine + 25, `theirs ${levels.theirs} dB, mine ${levels.mine} dB`);
  });

  // An AudioContext does not run in a Firefox without a sound card, so the test cannot measure single tones there.
  test('Firefox hears kim, and silence once kim is muted', async () => {
    const loudness = () => pages.fox.evaluate(heardIn, 500);
    await eventually('audio', async () => await loudness() > 0.1);
    await pages.kim.evaluate(() => window.rotunda.room.mute('audio', true));
    await eventually('silence', async () => await loudness() < 0.001);
    await pages.kim.evaluate(() => window.rotunda.room.mute('audio', false));
    await eventually('audio again', async () => await loudness() > 0.1);
  });

  for (const height of [SIZE.height / 4, SIZE.height / 2, SIZE.height]) {
    test(`${height} lines of Firefox's three layers are shown on request`, async () => {
      await pages.kim.evaluate((wanted) => (
        window.rotunda.room.limitHeight({ userId: 'fox', source: 'camera' }, wanted)
      ), height);
      await sees(kim, fox, 20, (now) => now.height === height);
    });
  }

  test('Firefox leaves, is gone for the other, and both see each other again when it is back', async () => {
    await pages.fox.evaluate(() => document.querySelector('#leave').click());
    await eventually('fox is gone', () => pages.kim.evaluate(() => !document.querySelector('video[data-user="fox"]')));
    await enter(fox, 'vp8');
    await sees(kim, fox);
    await sees(fox, kim);
  });
});
