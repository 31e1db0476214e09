// Calls and the console in Firefox, the other side of the call in Chromium; run by firefox.test.mjs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startFirefox } from './firefox.mjs';
import { eventually, startBrowser, startServer } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const PATIENCE = 90;
const fox = { user: 'fox', id: 44, tone: 800 };
const kim = { user: 'kim', id: 55, tone: 1600 };

/** In every page: the inside of the component. */
const inside = `
  window.inside = (selector) => document.querySelector('#call')?.shadowRoot?.querySelector(selector);
  window.pressed = (name) => {
    const button = [...document.querySelector('#call').shadowRoot.querySelectorAll('button')].find((one) => one.checkVisibility() && !one.disabled
      && (one.getAttribute('aria-label') ?? one.textContent) === name);
    button?.click();
    return Boolean(button);
  };
  window.markOf = (user, source = 'camera') => window.frameMark.readVideo(window.inside('video[data-user="' + user + '"][data-source="' + source + '"]'));
`;

/** Firefox has a tone of its own as its microphone. */
const foxDevices = `if (navigator.mediaDevices) {
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  markedDevices(${fox.id}, 0, 640, 360);
  const marked = navigator.mediaDevices.getUserMedia;
  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => new MediaStream([
    ...(video ? (await marked({ video })).getTracks() : []),
    ...(audio ? (await own({ audio: true })).getTracks() : []),
  ]);
  navigator.mediaDevices.getDisplayMedia = async () => marked({ video: true });
}`;

describe('Firefox', () => {
  let server;
  const browsers = [];
  const pages = {};
  const errors = [];

  const wait = (user, what, check, argument) => eventually(`${user}: ${what}`, () => pages[user].evaluate(check, argument), PATIENCE);
  const press = (user, name) => wait(user, `the button ${name}`, (text) => window.pressed(text), name);
  const status = (user, wanted) => wait(user, wanted, (is) => (document.querySelector('#call').dataset.status ?? 'idle') === is, wanted);

  before(async () => {
    server = await startServer();
    const firefox = await startFirefox(fox.tone);
    browsers.push(firefox);
    pages.fox = await firefox.newPage();
    await pages.fox.evaluateOnNewDocument(`${tools}\n${inside}\n${foxDevices}`);
    const chromium = await startBrowser();
    browsers.push(chromium);
    pages.kim = await chromium.newPage();
    await pages.kim.addInitScript(`${tools}\n${inside}\nmarkedDevices(${kim.id}, ${kim.tone}, 640, 360);`);
    for (const [user, page] of Object.entries(pages)) page.on('pageerror', (error) => errors.push(`${user}: ${error}`));
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  test('calls a Chromium; both see and hear each other, a screen is shared, and one hangs up', async () => {
    for (const user of ['fox', 'kim']) {
      await pages[user].goto(`${server.url}/call.html?user=${user}&auto=1&lang=en`, { waitUntil: 'domcontentloaded' });
      await wait(user, 'reachable', () => !document.querySelector('#phone').hidden);
    }
    await pages.fox.evaluate(() => {
      document.querySelector('#callee').value = 'kim';
      document.querySelector('#dial button[value="2"]').click();
    });
    await status('kim', 'calling');
    await press('kim', 'Accept');
    for (const [me, other] of [['fox', kim], ['kim', fox]]) {
      await status(me, 'connected');
      await wait(me, `the frames of ${other.user}`, ([user, id]) => window.markOf(user)?.id === id, [other.user, other.id]);
    }
    // An AudioContext does not run in a Firefox without a sound card, so only the other side can measure tones.
    await eventually("Firefox's tone", () => pages.kim.evaluate(async ([tone]) => {
      const audio = document.querySelector('audio[data-user="fox"]');
      if (!audio?.srcObject) return false;
      const [theirs, silence] = await window.toneLevels(audio.srcObject, [tone, 3333]);
      return theirs > silence + 20;
    }, [fox.tone]), PATIENCE);
    await press('fox', 'Share screen');
    await wait('kim', 'the screen', () => window.markOf('fox', 'screen')?.id !== undefined);
    await press('fox', 'Stop sharing');
    await wait('kim', 'no screen', () => !window.inside('video[data-source="screen"]'));
    await press('fox', 'Mute');
    await wait('kim', 'that fox is muted', () => window.inside('.tile[data-user="fox"] .name').textContent === 'fox · muted');
    await press('fox', 'Devices');
    await wait('fox', 'the choice of devices', () => window.inside('select[data-kind="audioinput"]')?.options.length >= 1);
    await press('fox', 'Hang up');
    for (const user of ['fox', 'kim']) await status(user, 'idle');
  });

  test('is called, and rejects', async () => {
    await pages.kim.evaluate(() => {
      document.querySelector('#callee').value = 'fox';
      document.querySelector('#dial button[value="1"]').click();
    });
    await status('fox', 'calling');
    await press('fox', 'Reject');
    await status('kim', 'idle');
    await wait('kim', 'the reason', () => document.querySelector('#log').innerText.includes('rejected'));
  });

  test('opens the console: sign-in, rooms, members, another language', async () => {
    const page = pages.fox;
    const password = /password\S*=\S*?([a-z0-9]{6}(?:-[a-z0-9]{6}){3})/.exec(server.log())?.[1];
    const member = server.start('join', '1001', '--user', 'ann', '--fps', '5');
    try {
      await page.goto(`${server.url}/console`, { waitUntil: 'domcontentloaded' });
      await wait('fox', 'the sign-in', () => document.querySelector('#secret') !== null);
      await page.evaluate((text) => {
        document.querySelector('#secret').value = text;
        document.querySelector('form button[type=submit]').click();
      }, password);
      await wait('fox', 'the overview with a room', () => /Members\s*1/.test(document.querySelector('.stats')?.innerText ?? ''));
      for (const [screen, shown] of [['rooms', '1001'], ['rooms/1001', 'ann'], ['nodes', 'takes members'], ['recordings', 'No file is finished yet'], ['usage', 'Usage']]) {
        await page.evaluate((to) => { location.hash = `#/${to}`; }, screen);
        await wait('fox', `${shown} on ${screen}`, (text) => document.querySelector('main').innerText.includes(text), shown);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${screen} fits`);
      }
      await page.evaluate(() => {
        const language = document.querySelector('nav select');
        language.value = 'zh';
        language.dispatchEvent(new Event('change'));
      });
      await wait('fox', 'Chinese', () => document.documentElement.lang === 'zh-CN' && document.querySelector('nav').innerText.includes('房间'));
    } finally {
      await member.kill();
    }
    assert.deepEqual(errors, []);
  });
});
