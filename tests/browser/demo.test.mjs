// `rotunda demo` as a new user sees it: three participants, a mix that plays automatically, and the visitor in it as
// the fourth.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startDemo, until } from './support.mjs';

/**
 * In the page: how long the visitor's camera is published before it is in the mix. Each frame of a participant has a number, so
 * the mix tells how old it is: the moment in which the participant's tile showed the frame that the mix shows beside the visitor.
 * So the delay of the live player does not count, nor does the rate at which it plays.
 */
function watchVisitor() {
  const seen = {};
  window.seen = seen;
  const green = (video) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 2, height: 2 });
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, 2, 2);
    const [red, is, blue] = context.getImageData(1, 1, 1, 1).data;
    // Chromium's fake camera is green.
    return is > 80 && is > 2 * red && is > 2 * blue;
  };
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    const { op, source } = JSON.parse(data);
    if (op === 'publish' && source === 'camera') seen.published ??= performance.now();
    return send.call(this, data);
  };
  /** When the tile of a participant showed which frame first. */
  const shown = [];
  setInterval(() => {
    if (seen.after !== undefined) return;
    const at = performance.now();
    for (const video of document.querySelectorAll('.tile video')) {
      const mark = window.frameMark.readVideo(video, 1, 1, 0, 0);
      if (mark) shown.push({ ...mark, at });
    }
    const video = document.getElementById('mix-player');
    if (!video || video.videoWidth === 0 || video.paused || !green(video)) return;
    const mark = window.frameMark.readVideo(video, 2, 2, 0, 0);
    // The tile may have skipped this very frame.
    const near = mark && shown.filter(({ id, count }) => id === mark.id && Math.abs(count - mark.count) <= 3);
    const nearest = near?.sort((one, other) => Math.abs(one.count - mark.count) - Math.abs(other.count - mark.count))[0];
    if (nearest) seen.after = nearest.at - seen.published;
  }, 20);
}

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

describe('the demo', { skip: cannotRun() }, () => {
  let demo;
  let browser;
  let page;

  before(async () => {
    demo = await startDemo();
    browser = await startBrowser();
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.addInitScript(tools);
    await page.goto(`${demo.url}/?room=1001&user=visitor`, { waitUntil: 'domcontentloaded' });
    await page.evaluate(`(${watchVisitor})()`);
  });

  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  test('a visitor is in the grid as the fourth participant', async () => {
    await page.locator('#join button').click();
    // The video plays without a click.
    const marks = await until(page, 'the three participants in the mix', () => {
      const video = document.getElementById('mix-player');
      if (!video || video.videoWidth === 0 || video.paused) return false;
      const found = [0, 1, 2].map((cell) => window.frameMark.readVideo(video, 2, 2, cell % 2, cell >> 1));
      return found.every(Boolean) && found;
    }, undefined, 40);
    assert.deepEqual(marks.map((mark) => mark.id).sort(), [11, 22, 33]);
    const { after: within } = await until(page, "the visitor's own camera in the fourth cell", () => window.seen.after !== undefined && window.seen);
    console.log(`the visitor is in the mix ${within.toFixed(0)} ms after their camera was published`);
    assert.equal(await page.locator('#banner').textContent(), '', 'nothing was refused');
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
  });

  test('the mix is muted until the visitor unmutes it', async () => {
    const muted = () => page.locator('#mix-player').evaluate((video) => video.muted);
    assert.equal(await muted(), true);
    await page.locator('#mix-mute').click();
    assert.equal(await muted(), false);
    await until(page, 'the button offers to mute', () => document.getElementById('mix-mute').textContent === 'Mute');
  });

  test('names on the page do not cover the names in the video', async () => {
    const covered = await page.locator('.tile').evaluateAll((tiles) => tiles.map((tile) => {
      const [whole, chip] = [tile.getBoundingClientRect(), tile.querySelector('.name').getBoundingClientRect()];
      // The name in the video is at the lower left, 56 of 360 lines high; the mark is at the upper left.
      const inVideo = { right: whole.left + whole.width / 3, top: whole.bottom - whole.height * 0.16 };
      return chip.left < inVideo.right && chip.bottom > inVideo.top;
    }));
    assert.deepEqual(covered, covered.map(() => false));
    assert.equal(covered.length, 4);
  });
});
