// The waiting room of the demo room, and of the console, against the real server: who waits sees so in words, and is let in or refused,
// one or all, by keyboard too; who was inside comes back without waiting. Each page passes axe on a phone and a desktop.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { layoutFlaws } from './layout_flaws.mjs';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 90;
const screenshots = process.env.SCREENSHOTS;
const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } };

describe('the waiting room', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];

  async function open(user, id, query) {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage({ viewport: sizes.desktop });
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    await page.addInitScript(`${tools}\nmarkedDevices(${id}, ${600 + 100 * id}, 640, 360);`);
    await page.goto(`${server.url}/?user=${user}${query}`, { waitUntil: 'domcontentloaded' });
    return page;
  }

  async function inspect(page, name) {
    for (const [size, viewport] of Object.entries(sizes)) {
      for (const colorScheme of ['light', 'dark']) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
        const where = `${name} ${size} ${colorScheme}`;
        if (screenshots) {
          mkdirSync(screenshots, { recursive: true });
          await page.screenshot({ path: `${screenshots}/${where.replaceAll(' ', '-')}.png` });
        }
        assert.deepEqual(await page.evaluate(layoutFlaws), [], where);
        if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], where);
      }
    }
    await page.setViewportSize(sizes.desktop);
  }

  const inside = (page) => until(page, 'the room', () => !document.querySelector('#stage').hidden && window.rotunda?.room.session?.connection.connectionState === 'connected', undefined, PATIENCE);
  const waits = (page) => until(page, 'the page of who waits', () => !document.querySelector('#waiting-page').hidden && document.querySelector('#lobby').hidden, undefined, PATIENCE);
  const count = (page, number) => until(page, `${number} wait`, (wanted) => window.rotunda?.room.waitingRoom?.total === wanted, number, PATIENCE);
  const closeAll = async () => { for (const browser of browsers.splice(0)) await browser.close(); };

  /** The first member of the room switches its waiting room on. */
  async function moderator(room, lang = 'en') {
    const ann = await open('ann', 1, `&room=${room}&lang=${lang}&auto=1`);
    await inside(ann);
    await ann.locator('#toggle-people').click();
    await ann.locator('#waiting-on').click();
    await until(ann, 'it is on', () => window.rotunda.room.waitingRoom?.required && document.querySelector('#waiting-on').checked, undefined, PATIENCE);
    return ann;
  }

  before(async () => { server = await startServer(); });

  after(async () => {
    await closeAll();
    await server?.stop();
  });

  for (const lang of ['en', 'zh']) {
    test(`somebody waits and is let in, and comes back without waiting, in ${lang}`, async () => {
      const ann = await moderator(1001, lang);
      const bob = await open('bob', 2, `&room=1001&lang=${lang}&auto=1`);
      await waits(bob);
      const title = { en: 'You are waiting for room 1001', zh: '您正在等待进入房间 1001' }[lang];
      assert.equal(await bob.locator('#waiting-room-name').innerText(), title);
      assert.equal(await bob.evaluate(() => document.activeElement.id), 'waiting-room-name', 'a screen reader begins there');
      await inspect(bob, `waiting ${lang}`);
      await count(ann, 1);
      const asks = { en: 'bob waits to be let in.', zh: 'bob 正在等候进入。' }[lang];
      await ann.locator('.prompt').getByText(asks).waitFor();
      assert.equal(await ann.evaluate(() => document.querySelector('#toggle-people').dataset.unread), '1');
      assert.equal(await ann.locator('.tile').count(), 1, 'who waits is not in the room');
      await inspect(ann, `moderator ${lang}`);
      const admit = ann.locator('#waiting-list').getByRole('button', { name: `${{ en: 'Let in', zh: '允许进入' }[lang]}: bob` });
      await admit.focus();
      await ann.keyboard.press('Enter');
      await inside(bob);
      await count(ann, 0);
      assert.equal(await ann.locator('.prompt').count(), 0);
      await until(ann, "bob's video", () => document.querySelector('video[data-user="bob"]')?.videoWidth > 0, undefined, PATIENCE);
      await bob.reload({ waitUntil: 'domcontentloaded' });
      await inside(bob);
      await bob.locator('#leave').click();
      await ann.locator('#leave').click();
      await closeAll();
    });
  }

  test('somebody is refused, gives up, is let in with everybody else; the end of the room is told', async () => {
    const ann = await moderator(1002);
    const bob = await open('bob', 2, '&room=1002&auto=1');
    await waits(bob);
    await count(ann, 1);
    await ann.locator('#waiting-list').getByRole('button', { name: 'Refuse: bob' }).click();
    await until(bob, 'the lobby with the reason', () => !document.querySelector('#lobby').hidden && document.querySelector('#lobby-message').textContent === 'A moderator has not let you in.', undefined, PATIENCE);
    await bob.locator('#join-button').click();
    await waits(bob);
    await bob.locator('#stop-waiting').click();
    await until(bob, 'the lobby without a word', () => !document.querySelector('#lobby').hidden && document.querySelector('#lobby-message').textContent === '', undefined, PATIENCE);
    await count(ann, 0);
    await bob.locator('#join-button').click();
    const cat = await open('cat', 3, '&room=1002&auto=1');
    for (const page of [bob, cat]) await waits(page);
    await count(ann, 2);
    await ann.locator('.prompt').getByText(/^(bob|cat) and 1 other person wait to be let in\.$/).waitFor();
    await ann.getByRole('button', { name: 'Let everybody in' }).click();
    for (const page of [bob, cat]) await inside(page);
    // One who waits goes on waiting while the connection is lost.
    const dora = await open('dora', 4, '&room=1002&auto=1');
    await waits(dora);
    await count(ann, 1);
    for (const page of [bob, cat, ann]) await page.locator('#leave').click();
    await until(dora, 'the end of the room', () => !document.querySelector('#lobby').hidden && document.querySelector('#lobby-message').textContent === 'The room has ended.', undefined, PATIENCE);
    await closeAll();
  });

  test('the console switches it on for a room of nobody, and lets in and refuses', async () => {
    const password = /password\S*=\S*?([a-z0-9]{6}(?:-[a-z0-9]{6}){3})/.exec(server.log())?.[1];
    const browser = await startBrowser();
    browsers.push(browser);
    const context = await browser.newContext({ viewport: sizes.desktop, locale: 'en-GB' });
    const page = await context.newPage();
    await page.goto(`${server.url}/console#/rooms/1003`);
    await page.locator('#secret').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    const card = page.getByRole('region', { name: 'Waiting room' });
    await card.getByRole('button', { name: 'Switch on' }).click();
    await card.getByText('on', { exact: true }).waitFor();
    const bob = await open('bob', 2, '&room=1003&auto=1');
    const cat = await open('cat', 3, '&room=1003&auto=1');
    for (const one of [bob, cat]) await waits(one);
    await card.getByRole('button', { name: 'Refuse: cat' }).click();
    await until(cat, 'the refusal', () => document.querySelector('#lobby-message').textContent === 'A moderator has not let you in.', undefined, PATIENCE);
    await card.getByRole('cell', { name: 'bob', exact: true }).waitFor();
    await inspect(page, 'console');
    await card.getByRole('button', { name: 'Let in: bob' }).click();
    await inside(bob);
    await cat.locator('#join-button').click();
    await waits(cat);
    await card.getByRole('button', { name: 'Switch off' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Switch off' }).click();
    await inside(cat);
    await closeAll();
  });
});
