// An application for TRTC's web SDK, with the compatibility package, in two Chromiums.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { bundle, openPage, ticket, web } from './bundled_page.mjs';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const html = '<!doctype html><body><div id="local" style="width:320px;height:180px"></div><style>.view{width:640px;height:360px}</style>';
/** Seconds: machines of a test may be slow. */
const PATIENCE = 90;

describe('an application for TRTC', { skip: cannotRun() }, () => {
  let server;
  let script;
  const pages = {};
  const browsers = [];

  async function open(user, id, hertz) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(${id}, ${hertz}, 640, 360);`);
    await openPage(page, server, html, script);
    pages[user] = page;
    return page;
  }

  const enter = async (user) => pages[user].evaluate(async (one) => app.enter(one, 'lounge'), await ticket(server, user));
  const told = (user, line) => until(pages[user], `${user} is told: ${line}`, (text) => app.state().log.includes(text), line, PATIENCE);

  before(async () => {
    server = await startServer();
    script = await bundle({ path: './trtc_application.ts', alias: { 'trtc-sdk-v5': `${web}trtc-compat/index.ts` } });
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('enters a room, and one page publishes', async () => {
    const [ann] = [await open('ann', 11, 700), await open('bob', 22, 1500)];
    assert.deepEqual(await ann.evaluate(() => app.TRTC.isSupported().then(({ result }) => result)), true);
    await enter('ann');
    await told('ann', 'CONNECTING to CONNECTED');
    await ann.evaluate(() => app.publish());
    for (const line of ['video started', 'audio started', 'frame self main true']) await told('ann', line);
    assert.equal(await ann.evaluate(() => document.querySelector('#local video').style.transform), 'scaleX(-1)');
  });

  test('the other page sees the frames move', async () => {
    await enter('bob');
    for (const line of ['enter ann', 'video ann main', 'audio ann', 'frame ann main true']) await told('bob', line);
    const read = (count) => {
      const mark = window.frameMark.readVideo(document.querySelector('#ann_main video'));
      return mark && (count === undefined || ((mark.count - count) & 0xffff) > 20) && mark;
    };
    const first = await until(pages.bob, 'a marked frame', read, undefined, PATIENCE);
    assert.equal(first.id, 11);
    assert.equal((await until(pages.bob, 'a later frame', read, first.count, PATIENCE)).id, 11);
  });

  test('and hears the audio', async () => {
    await eventually('the tone', async () => {
      const [own, wrong] = await pages.bob.evaluate(() => window.toneLevels(document.querySelector('audio[data-user="ann"]').srcObject, [700, 1500]));
      return own > -60 && own - wrong > 20;
    }, PATIENCE);
    await until(pages.bob, "ann's volume", () => app.state().volumes.ann > 0, undefined, PATIENCE);
    await until(pages.ann, 'the own volume', () => app.state().volumes[''] > 0, undefined, PATIENCE);
    await until(pages.ann, 'a quality', () => app.state().quality > 0, undefined, PATIENCE);
    await until(pages.bob, 'statistics', () => app.state().received.includes('ann big true'), undefined, PATIENCE);
    assert.equal(await pages.bob.evaluate(() => app.trtc.getVideoSnapshot({ userId: 'ann' }).startsWith('data:image/png;base64,')), true);
    assert.deepEqual(await pages.bob.evaluate(() => [app.trtc.getVideoTrack({ userId: 'ann' }).kind, app.trtc.getAudioTrack('ann').kind]), ['video', 'audio']);
  });

  test('muting is told, and messages arrive', async () => {
    await pages.ann.evaluate(() => app.trtc.updateLocalVideo({ mute: true }));
    await told('bob', 'no video ann main');
    await pages.ann.evaluate(() => app.trtc.updateLocalVideo({ mute: false }));
    await until(pages.bob, 'the video again', () => app.state().log.filter((line) => line === 'frame ann main true').length === 2, undefined, PATIENCE);
    await pages.bob.evaluate(() => app.trtc.sendCustomMessage({ cmdId: 2, data: new TextEncoder().encode('hello').buffer }));
    await told('ann', 'message bob 2 hello');
    await pages.bob.evaluate(() => app.trtc.muteRemoteAudio('ann', true));
    await until(pages.bob, 'no audio of ann', () => app.trtc.getAudioTrack('ann') === null, undefined, PATIENCE);
  });

  test('a screen is the sub stream', async () => {
    await pages.ann.evaluate(async () => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
      let count = 0;
      setInterval(() => { count += 1; window.frameMark.draw(canvas.getContext('2d'), 33, count & 0xffff); }, 50);
      await app.trtc.startScreenShare({ option: { videoTrack: canvas.captureStream(20).getVideoTracks()[0] } });
    });
    await told('bob', 'frame ann sub true');
    await until(pages.bob, 'the screen', () => window.frameMark.readVideo(document.querySelector('#ann_sub video'))?.id === 33, undefined, PATIENCE);
    await pages.ann.evaluate(() => app.trtc.stopScreenShare());
    await told('bob', 'no video ann sub');
  });

  test('mistakes have the codes of TRTC', async () => {
    const refused = (action) => pages.bob.evaluate(`app.refused(() => ${action})`);
    assert.deepEqual(await refused("app.trtc.enterRoom({ sdkAppId: 1, userId: 'x', userSig: 'y' })"), [5000, 5015]);
    assert.deepEqual(await refused("app.trtc.enterRoom({ sdkAppId: 1, userId: 'x', userSig: 'y', roomId: '1' })"), [5000, 5016]);
    assert.deepEqual(await refused("app.trtc.enterRoom({ sdkAppId: 1, userId: 'x', userSig: 'y', roomId: 1 })"), [5100, 5104]);
    assert.deepEqual(await refused("app.trtc.startRemoteVideo({ userId: 'nobody', streamType: 'main', view: null })"), [5100, 5102]);
    assert.deepEqual(await refused("app.trtc.startRemoteVideo({ userId: 'ann', streamType: 'sub', view: null })"), [5100, 5103]);
    assert.deepEqual(await refused("app.trtc.startLocalVideo({ view: 'missing' })"), [5000, 5009]);
    assert.equal((await refused("app.trtc.startPlugin('Beauty')"))[0], 5200);
    const wrong = { sdkAppId: (await ticket(server, 'x')).sdkAppId, userId: 'x', userSig: 'forged', roomId: 1 };
    const [code, extra] = await pages.bob.evaluate((one) => app.refused(() => app.TRTC.create().enterRoom(one)), wrong);
    assert.deepEqual([code, extra], [5400, 70003]);
    await pages.bob.evaluate(() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }; });
    assert.deepEqual(await refused('app.trtc.startLocalAudio()'), [5300, 5302]);
  });

  test('leaving is told, capturing goes on, and the room can be entered again', async () => {
    await pages.ann.evaluate(() => app.trtc.exitRoom());
    await told('bob', 'exit ann 0');
    assert.equal(await pages.ann.evaluate(() => app.trtc.getVideoTrack().readyState), 'live');
    await enter('ann');
    await until(pages.bob, 'the frames again', () => window.frameMark.readVideo(document.querySelector('#ann_main video'))?.id === 11, undefined, PATIENCE);
  });

  test('the same user in another place ends the earlier one', async () => {
    await open('again', 44, 900);
    await pages.again.evaluate(async (one) => app.enter(one, 'lounge'), await ticket(server, 'ann'));
    await told('ann', 'kicked kick');
    await told('ann', 'CONNECTED to DISCONNECTED');
  });
});
