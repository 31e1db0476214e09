// The demo page of calls for tests: each person in their own Chromium. SCREENSHOTS=folder keeps a screenshot of each inspected state.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { layoutFlaws } from './layout_flaws.mjs';
import { eventually, startBrowser, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const screenshots = process.env.SCREENSHOTS;
export const PATIENCE = 90;
const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } };
export const people = { ann: { id: 11, tone: 700 }, bob: { id: 22, tone: 1100 }, cat: { id: 33, tone: 1600 }, dora: { id: 44, tone: 2100 } };

/** In every page: the inside of the component. */
const inside = `
  window.inside = (selector) => document.querySelector('#call').shadowRoot?.querySelector(selector);
  window.phoneStatus = () => document.querySelector('#call').dataset.status ?? 'idle';
  window.markOf = (user, source = 'camera') => window.frameMark.readVideo(window.inside('video[data-user="' + user + '"][data-source="' + source + '"]'));
`;

/** In the page: buttons of the component that cannot be reached. */
function outOfSight() {
  return [...document.querySelector('#call').shadowRoot.querySelectorAll('button')].filter((button) => button.checkVisibility()).flatMap((button) => {
    const { left, right, top, bottom } = button.getBoundingClientRect();
    return left < 0 || right > innerWidth || top < 0 || bottom > innerHeight ? [button.textContent || button.title] : [];
  });
}

/** `server`: answers the server, which starts later. */
export function callPages(server) {
  const browsers = {};

  async function open(user, query = '') {
    browsers[user] ??= await startBrowser();
    const page = await browsers[user].newPage({ viewport: sizes.desktop });
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    const { id, tone } = people[user];
    await page.addInitScript(`${tools}\n${inside}\nmarkedDevices(${id}, ${tone}, 640, 360);`);
    await page.goto(`${server().url}/call.html?user=${user}&auto=1&lang=en${query}`);
    await until(page, `${user} is reachable`, () => !document.querySelector('#phone').hidden, undefined, PATIENCE);
    return page;
  }

  const status = (page, wanted) => until(page, `the status ${wanted}`, (status) => window.phoneStatus() === status, wanted, PATIENCE);
  const says = (page, text) => until(page, `the words ${text}`, (words) => window.inside('.toast').textContent.includes(words), text, PATIENCE);
  const press = (page, name) => page.locator('#call').getByRole('button', { name, exact: true }).click();
  const ended = (page, reason) => until(page, `the end: ${reason}`, (words) => document.querySelector('#log').innerText.includes(words), reason, PATIENCE);

  async function dial(page, names, button = 'Video call') {
    await page.locator('#callee').fill(names);
    await page.locator('#dial').getByRole('button', { name: button }).click();
  }

  const sees = (page, user) => until(page, `the frames of ${user}`, ([name, id]) => window.markOf(name)?.id === id, [user, people[user].id], PATIENCE);

  const hears = (page, user) => eventually(`the tone of ${user}`, async () => {
    const [level, silence] = await page.evaluate(async ([name, tones]) => {
      const audio = document.querySelector(`audio[data-user="${name}"]`);
      return audio?.srcObject ? window.toneLevels(audio.srcObject, tones) : [-200, 0];
    }, [user, [people[user].tone, 3333]]);
    return level > -60 && level > silence + 20;
  }, PATIENCE);

  async function inspect(page, name) {
    for (const [size, colorScheme] of [['phone', 'dark'], ['desktop', 'light']]) {
      await page.setViewportSize(sizes[size]);
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
      const where = `${name} ${size} ${colorScheme}`;
      if (screenshots) {
        mkdirSync(screenshots, { recursive: true });
        await page.screenshot({ path: `${screenshots}/${where.replaceAll(' ', '-')}.png` });
      }
      assert.deepEqual(await page.evaluate(layoutFlaws, '#call'), [], where);
      assert.deepEqual(await page.evaluate(outOfSight), [], where);
      if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], where);
    }
    await page.setViewportSize(sizes.desktop);
    await page.emulateMedia({ colorScheme: 'light' });
  }

  const close = async () => { for (const browser of Object.values(browsers)) await browser.close(); };
  return { open, status, says, press, ended, dial, sees, hears, inspect, close };
}
