// The demo room as people use it: accessible by axe, on a phone and a desktop, dark and light, in English and Chinese; views,
// pinning, raised hands, chat. SCREENSHOTS=folder keeps a picture of each state.

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

/** In the page: buttons of the toolbar that cannot be reached. */
function outOfSight() {
  return [...document.querySelectorAll('#stage:not([hidden]) footer button')].filter((button) => button.checkVisibility()).flatMap((button) => {
    const { left, right, bottom } = button.getBoundingClientRect();
    return left < 0 || right > innerWidth || bottom > innerHeight ? [button.textContent] : [];
  });
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
    const room = /room=/.test(query) ? '' : 'room=1001&';
    await page.goto(`${server.url}/?${room}user=${user}${query}`, { waitUntil: 'domcontentloaded' });
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
        assert.deepEqual(await page.evaluate(layoutFlaws), [], where);
        assert.deepEqual(await page.evaluate(outOfSight), [], where);
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
      await ann.locator('#test-network').click();
      await until(ann, 'the network test', () => document.querySelector('#network-result').dataset.verdict, undefined, PATIENCE);
      assert.equal(await ann.evaluate(() => document.querySelector('#network-result').dataset.verdict), 'networkGood');
      await inspect(ann, `lobby ${lang}`);
      await ann.locator('#join-button').click();
      await inRoom(ann, 2);
      await inRoom(bob, 2);
      await inspect(ann, `chat ${lang}`);
      await ann.locator('#toggle-people').click();
      await inspect(ann, `people ${lang}`);
      await ann.locator('#toggle-mix').click();
      await inspect(ann, `mix ${lang}`);
      await ann.locator('#toggle-devices').click();
      await until(ann, 'the devices', () => document.querySelector('#room-cameras').options.length > 0 && document.querySelector('#room-microphones').options.length > 0, undefined, PATIENCE);
      await inspect(ann, `devices ${lang}`);
      await ann.locator('#toggle-devices').click();
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
    await ann.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await ann.getByRole('button', { name: 'Copy the link to this room' }).click();
    await ann.getByRole('button', { name: 'The link is copied' }).waitFor();
    assert.equal(await ann.evaluate(() => navigator.clipboard.readText()), `${new URL(server.url).origin}/?room=1001`);
    await bob.getByRole('button', { name: 'Raise hand' }).click();
    await until(ann, 'the raised hand', () => document.querySelector('.tile[aria-label="bob · hand raised"]') && document.querySelector('#people').innerText.includes('✋ bob'), undefined, PATIENCE);
    const cat = await open('cat', 3, '&auto=1');
    await until(cat, 'a new member sees it, too', () => document.querySelector('.tile[aria-label="bob · hand raised"]'), undefined, PATIENCE);
    await bob.getByRole('button', { name: 'Lower hand' }).click();
    await until(cat, 'the lowered hand', () => document.querySelector('.tile[aria-label="bob"]'), undefined, PATIENCE);

    const text = '<b>你好</b>';
    await bob.locator('#chat-panel').getByLabel('Message to all').fill(text);
    await bob.getByLabel('Message to all').press('Enter');
    await until(ann, 'an unread message', () => document.querySelector('#toggle-chat').dataset.unread === '1', undefined, PATIENCE);
    await ann.locator('#toggle-chat').click();
    assert.equal(await ann.locator('#messages li').innerText(), `bob\n${text}`);
    const dora = await open('dora', 4, '&auto=1&role=audience');
    await until(dora, 'the message from before, once', (said) => [...document.querySelectorAll('#messages li')].map((item) => item.innerText).join('|') === said, `bob\n${text}`, PATIENCE);
    await dora.locator('#leave').click();
    await until(ann, 'three tiles', () => document.querySelectorAll('.tile').length === 3, undefined, PATIENCE);
    assert.equal(await ann.evaluate(() => 'unread' in document.querySelector('#toggle-chat').dataset), false);

    await bob.getByRole('button', { name: 'Heart' }).click();
    await until(ann, 'a reaction over the tile, and in words', () => document.querySelector('.tile[aria-label="bob"] .reaction') && document.querySelector('#reaction-status').textContent === 'bob: heart', undefined, PATIENCE);
    assert.equal(await bob.locator('.tile.own .reaction').count(), 1, 'the member sees it, too');
    await until(ann, 'it is over', () => !document.querySelector('.reaction'), undefined, PATIENCE);

    await bob.locator('#toggle-devices').click();
    await bob.evaluate(() => {
      const own = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = (wanted) => {
        window.askedFor = wanted.video?.deviceId ?? window.askedFor;
        return own(wanted);
      };
    });
    const camera = await until(bob, 'the cameras', () => document.querySelector('#room-cameras').options[0]?.value, undefined, PATIENCE);
    await bob.evaluate(() => document.querySelector('#room-cameras').dispatchEvent(new Event('change')));
    await until(bob, 'the chosen camera', (id) => window.askedFor === id, camera, PATIENCE);
    await until(ann, "bob's video of it", () => document.querySelector('video[data-user="bob"]')?.videoWidth > 0, undefined, PATIENCE);

    await bob.keyboard.press('Control+d');
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

  test('the network test tells that media is blocked', async () => {
    const browser = await startBrowser();
    browsers.push(browser);
    const page = await browser.newPage();
    // A firewall: no candidate of the server reaches the browser.
    await page.addInitScript(`
      const { setRemoteDescription } = RTCPeerConnection.prototype;
      RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
        return setRemoteDescription.call(this, { type, sdp: sdp.replace(/a=candidate:.*\\r\\n/g, '') });
      };`);
    await page.goto(`${server.url}/?room=1004&user=eve`);
    await page.locator('#test-network').click();
    await until(page, 'the verdict', () => document.querySelector('#network-result').dataset.verdict === 'networkNone', undefined, PATIENCE);
    assert.match(await page.locator('#network-result').innerText(), /a firewall blocks it/);
  });

  test('seats: a member of the audience asks, is invited, speaks, and only listens again', async () => {
    const [ann, cat] = [await open('ann', 1, '&auto=1&room=1005'), await open('cat', 3, '&auto=1&room=1005&role=audience')];
    const role = (page, audience) => until(page, audience ? 'the audience' : 'a seat', (is) => document.querySelector('#seat').hidden !== is && document.querySelector('#mute-audio').hidden === is, audience, PATIENCE);
    await inRoom(ann, 1);
    await role(cat, true);
    assert.equal(await cat.evaluate(() => window.rotunda.media.track('camera')), undefined, 'no camera is open');
    await cat.getByRole('button', { name: 'Ask to speak' }).click();
    await ann.locator('.prompt').getByText('cat asks to speak.').waitFor();
    await ann.locator('#toggle-people').click();
    await inspect(ann, 'request');
    await inspect(cat, 'audience');
    await ann.locator('.prompt').getByRole('button', { name: 'Decline' }).click();
    await until(cat, 'the refusal', () => document.querySelector('#banner').textContent === 'Your request to speak was declined.', undefined, PATIENCE);
    await cat.getByRole('button', { name: 'Ask to speak' }).click();
    await ann.locator('#people').getByRole('button', { name: 'Let speak: cat' }).click();
    await role(cat, false);
    await until(ann, "cat's video", () => document.querySelector('video[data-user="cat"]')?.videoWidth > 0, undefined, PATIENCE);
    assert.equal(await ann.locator('.prompt').count(), 0, 'the question is answered');

    await cat.locator('#toggle-people').click();
    await cat.locator('#people').getByRole('button', { name: 'Only listen: cat' }).click();
    await role(cat, true);
    await until(ann, 'no video of cat', () => !document.querySelector('video[data-user="cat"]'), undefined, PATIENCE);
    await ann.locator('#people').getByRole('button', { name: 'Invite to speak: cat' }).click();
    await cat.locator('.prompt').getByRole('button', { name: 'Not now' }).click();
    await until(ann, 'the answer', () => document.querySelector('#banner').textContent === 'cat prefers to listen.', undefined, PATIENCE);
    await ann.locator('#people').getByRole('button', { name: 'Invite to speak: cat' }).click();
    await cat.locator('.prompt').getByRole('button', { name: 'Take the seat' }).click();
    await until(ann, "cat's video again", () => document.querySelector('video[data-user="cat"]')?.videoWidth > 0, undefined, PATIENCE);
    for (const page of [ann, cat]) await page.locator('#leave').click();
    for (const browser of browsers.splice(0)) await browser.close();
  });

  test('breakout rooms: the others are sent away, and come back', async () => {
    const [ann, bob] = [await open('ann', 1, '&auto=1&room=1006'), await open('bob', 2, '&auto=1&room=1006')];
    await inRoom(ann, 2);
    await ann.locator('#toggle-people').click();
    await ann.getByRole('button', { name: 'Split' }).click();
    await bob.locator('.prompt').getByText('ann asks you to go to room 1006-1 for 5 minutes.').waitFor();
    await bob.locator('.prompt').getByRole('button', { name: 'Go', exact: true }).click();
    await until(bob, 'the breakout room', () => document.querySelector('#room-name').textContent === 'Room 1006-1' && /Back to the main room · [45]:/.test(document.querySelector('#back').textContent), undefined, PATIENCE);
    await until(ann, 'ann alone', () => document.querySelectorAll('.tile').length === 1, undefined, PATIENCE);
    await bob.reload({ waitUntil: 'domcontentloaded' });
    await until(bob, 'the time also after a reload', () => /Back to the main room · [45]:/.test(document.querySelector('#back').textContent), undefined, PATIENCE);
    await bob.locator('#back').click();
    await inRoom(bob, 2);
    assert.equal(await bob.locator('#room-name').innerText(), 'Room 1006');
    // When the time is over, the page goes back by itself.
    await bob.evaluate(() => {
      const over = new URL(location.href);
      for (const [name, value] of [['room', '1006-2'], ['back', '1006'], ['until', String(Date.now() + 3000)]]) over.searchParams.set(name, value);
      location.assign(over);
    });
    await until(bob, 'back by itself', () => document.querySelector('#room-name')?.textContent === 'Room 1006', undefined, PATIENCE);
    for (const page of [ann, bob]) await page.locator('#leave').click();
    for (const browser of browsers.splice(0)) await browser.close();
  });

  test('the layout is shown before a mix starts, and its recording is played in the page', async () => {
    const ann = await open('ann', 1, '&auto=1&room=1007');
    await inRoom(ann, 1);
    await ann.locator('#toggle-mix').click();
    await until(ann, 'the layout', () => document.querySelectorAll('#layout-preview rect').length === 1 && document.querySelector('#layout-preview').textContent === 'ann', undefined, PATIENCE);
    await ann.locator('#template').selectOption('picture_in_picture');
    await until(ann, 'another layout', () => document.querySelectorAll('#layout-preview rect').length >= 1, undefined, PATIENCE);
    await ann.locator('#template').selectOption('grid');
    await ann.locator('#mix-start').click();
    await until(ann, 'the live mix', () => { const video = document.querySelector('#mix-player'); return video.videoWidth > 0 && video.currentTime > 0; }, undefined, PATIENCE);
    await ann.locator('#mix-stop').click();
    await ann.locator('#recordings .link').first().click({ timeout: PATIENCE * 1000 });
    await until(ann, 'the recording plays', () => { const video = document.querySelector('#recording-player'); return document.querySelector('#recording').open && video.videoWidth > 0 && video.currentTime > 0; }, undefined, PATIENCE);
    await inspect(ann, 'recording');
    await ann.getByRole('button', { name: 'Close', exact: true }).last().click();
    // The dialog tells a moment later that it is closed.
    await until(ann, 'nothing plays on', () => !document.querySelector('#recording-player').hasAttribute('src'), undefined, PATIENCE);
    await ann.locator('#leave').click();
    for (const browser of browsers.splice(0)) await browser.close();
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
