// The demo room as people use it: accessible by axe, on a phone and a desktop, dark and light, in English and Chinese; views,
// pinning, raised hands, chat. SCREENSHOTS=folder keeps a picture of each state.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 90;
const screenshots = process.env.SCREENSHOTS;
const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } };

/** In the page: what is wrong with the layout. */
function flaws() {
  const found = [];
  const visible = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
  const tiles = [...document.querySelectorAll('.tile')].filter(visible).map((tile) => tile.getBoundingClientRect());
  tiles.forEach((one, index) => {
    for (const other of tiles.slice(index + 1)) {
      const overlaps = one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 1 && other.top < one.bottom - 1;
      if (overlaps) found.push('tiles overlap');
    }
  });
  for (const element of document.querySelectorAll('button, h1, h2, h3, label, option, p, li')) {
    if (visible(element) && element.scrollWidth > element.clientWidth + 1) found.push(`clipped: ${element.textContent}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
  for (const button of document.querySelectorAll('#stage:not([hidden]) footer button')) {
    const { left, right, bottom } = button.getBoundingClientRect();
    if (left < 0 || right > innerWidth || bottom > innerHeight) found.push(`out of sight: ${button.textContent}`);
  }
  return found;
}

describe('the demo room', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];

  async function open(user, id, query = '') {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage({ viewport: sizes.desktop });
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(${id}, ${600 + 100 * id}, 640, 360);`);
    await page.goto(`${server.url}/?room=1001&user=${user}${query}`, { waitUntil: 'domcontentloaded' });
    return page;
  }

  const inRoom = (page, tiles) => until(page, `${tiles} tiles with video`, (count) => (
    [...document.querySelectorAll('.tile video')].filter(({ videoWidth }) => videoWidth > 0).length === count), tiles, PATIENCE);

  /** Every size and colour scheme of the page as it is now. */
  async function inspect(page, name) {
    for (const [size, viewport] of Object.entries(sizes)) {
      for (const colorScheme of ['light', 'dark']) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        // The layout follows the size by an observer, a frame later.
        await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
        const where = `${name} ${size} ${colorScheme}`;
        if (screenshots) {
          mkdirSync(screenshots, { recursive: true });
          await page.screenshot({ path: `${screenshots}/${where.replaceAll(' ', '-')}.png` });
        }
        assert.deepEqual(await page.evaluate(flaws), [], where);
        if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], where);
      }
    }
    await page.setViewportSize(sizes.desktop);
  }

  before(async () => { server = await startServer(); });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  for (const lang of ['en', 'zh']) {
    test(`the lobby and the room in ${lang}`, async () => {
      const [ann, bob] = [await open(`ann-${lang}`, 1, `&lang=${lang}`), await open(`bob-${lang}`, 2, '&auto=1')];
      await until(ann, 'the preview', () => document.querySelector('#preview').videoWidth > 0, undefined, PATIENCE);
      await until(ann, 'the level of the microphone', () => document.querySelector('#level').value > 0, undefined, PATIENCE);
      assert.equal(await ann.evaluate(() => document.documentElement.lang), lang === 'zh' ? 'zh-CN' : 'en');
      await inspect(ann, `lobby ${lang}`);
      await ann.locator('#join-button').click();
      await inRoom(ann, 2);
      await inRoom(bob, 2);
      await inspect(ann, `chat ${lang}`);
      await ann.locator('#toggle-people').click();
      await inspect(ann, `people ${lang}`);
      await ann.locator('#toggle-mix').click();
      await inspect(ann, `mix ${lang}`);
      await ann.locator('#toggle-mix').click();
      await ann.locator('#view').click();
      await inspect(ann, `speaker ${lang}`);
      for (const page of [ann, bob]) await page.locator('#leave').click();
      for (const browser of browsers.splice(0)) await browser.close();
    });
  }

  test('pinning, a raised hand, messages and muting', async () => {
    const [ann, bob] = [await open('ann', 1, '&auto=1'), await open('bob', 2, '&auto=1')];
    await inRoom(ann, 2);
    await inRoom(bob, 2);
    await ann.getByRole('button', { name: 'Pin bob' }).click();
    assert.equal(await ann.locator('.tile.featured .name').textContent(), 'bob');
    await ann.getByRole('button', { name: 'Unpin bob' }).click();
    assert.equal(await ann.locator('.tile.featured').count(), 0);

    await ann.locator('#toggle-people').click();
    await bob.getByRole('button', { name: 'Raise hand' }).click();
    await until(ann, 'the raised hand', () => document.querySelector('.tile[aria-label="bob · hand raised"]') && document.querySelector('#people').innerText.includes('✋ bob'), undefined, PATIENCE);
    const cat = await open('cat', 3, '&auto=1');
    await until(cat, 'a new member sees it, too', () => document.querySelector('.tile[aria-label="bob · hand raised"]'), undefined, PATIENCE);
    await bob.getByRole('button', { name: 'Lower hand' }).click();
    await until(cat, 'the lowered hand', () => document.querySelector('.tile[aria-label="bob"]'), undefined, PATIENCE);

    const text = '<b>你好</b>';
    await bob.getByLabel('Message to all').fill(text);
    await bob.getByLabel('Message to all').press('Enter');
    await until(ann, 'an unread message', () => document.querySelector('#toggle-chat').dataset.unread === '1', undefined, PATIENCE);
    await ann.locator('#toggle-chat').click();
    assert.equal(await ann.locator('#messages li').innerText(), `bob\n${text}`);
    assert.equal(await ann.evaluate(() => 'unread' in document.querySelector('#toggle-chat').dataset), false);

    await bob.getByRole('button', { name: 'Mute' }).click();
    await until(ann, 'the muted member', () => document.querySelector('.tile[aria-label="bob · muted"]'), undefined, PATIENCE);
    await bob.getByRole('button', { name: 'Stop camera' }).click();
    await until(ann, 'no video', () => !document.querySelector('video[data-user="bob"]'), undefined, PATIENCE);
    await bob.getByRole('button', { name: 'Start camera' }).click();
    await until(ann, 'the video again', () => document.querySelector('video[data-user="bob"]')?.videoWidth > 0, undefined, PATIENCE);
    await cat.locator('#leave').click();
    await until(ann, 'two tiles', () => document.querySelectorAll('.tile').length === 2, undefined, PATIENCE);
  });

  test('a missing device is named in the lobby, and the member may join without it', async () => {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    await page.addInitScript('navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotFoundError"); };');
    await page.goto(`${server.url}/?room=1002&user=eve`);
    await until(page, 'the reason', () => document.querySelector('#device-message').textContent.startsWith('There is no'), undefined, PATIENCE);
    await page.locator('#join-button').click();
    await until(page, 'the room', () => document.querySelector('#count').textContent === '1 present', undefined, PATIENCE);
  });

  for (const path of ['/player.html', '/device.html']) {
    test(`the page ${path}`, async () => {
      const browser = await startBrowser();
      browsers.push(browser);
      const page = await browser.newPage();
      await page.goto(`${server.url}${path}`);
      await inspect(page, path.slice(1, -5));
    });
  }

  test('the first load is under 150 kB', async () => {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    const loads = [];
    page.on('response', (response) => loads.push(response.body().then((body) => body.length, () => 0)));
    await page.goto(`${server.url}/`, { waitUntil: 'load' });
    const bytes = (await Promise.all(loads)).reduce((sum, size) => sum + size, 0);
    console.log(`the first load of the demo room: ${(bytes / 1000).toFixed(0)} kB before compression`);
    assert.ok(bytes > 10_000 && bytes < 150_000, `${bytes} bytes`);
  });
});
