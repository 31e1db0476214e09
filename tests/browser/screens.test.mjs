// Each screen without a server, with the same answers each time: it looks as it did (golden screenshots), nothing overlaps, no text is cut off,
// on a phone and a desktop, in both languages. `npm run screens` takes the golden screenshots anew.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { servePages } from './built_pages.mjs';
import { APPLICATION, NOW, REFUSED, answerConsole, manyRooms, pageOfRooms } from './console_answers.mjs';
import { FOLDER, compare } from './golden.mjs';
import { layoutFlaws } from './layout_flaws.mjs';
import { answerCalls, answerRooms } from './room_answers.mjs';
import { cannotRun, startBrowser, until } from './support.mjs';

/** Other ones by the same setting as for a server. */
const DIST = process.env.ROTUNDA_PAGES ?? fileURLToPath(new URL('../../web/dist', import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 90;
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1440, height: 900 };
/** Golden screenshots of the first two; the others are checked for their layout. */
const VARIANTS = [
  { name: 'phone-zh-dark', viewport: PHONE, lang: 'zh', colorScheme: 'dark', golden: true },
  { name: 'desktop-en-light', viewport: DESKTOP, lang: 'en', colorScheme: 'light', golden: true },
  { name: 'phone-en-light', viewport: PHONE, lang: 'en', colorScheme: 'light' },
  { name: 'desktop-zh-dark', viewport: DESKTOP, lang: 'zh', colorScheme: 'dark' },
];
const CONSOLE = ['overview', 'rooms', 'rooms/1001', 'devices', 'history', 'history/call-1/1789992200', 'mixes', 'mixes/new?room=1002', 'streams', 'recordings', 'callbacks', 'usage', 'nodes', 'applications', 'about'];
/** Bytes of a page's first load, after gzip, and the time until it can be used, on loopback. */
const FIRST_LOAD = { bytes: 150_000, ms: 1000 };
/** The pages, and the control that is there when they can be used. */
const ENTRANCES = { '/?room=1001&user=ann': '#join-button', '/console#/rooms': 'tbody a', '/call.html?user=ann&lang=en': '#login-button', '/player.html': '#mute', '/device.html': '#refresh' };
/** Bytes of all golden screenshots. */
const MOST_BYTES = 3_000_000;

/** The machine may be busy: the same work is measured before and after, and limits grow with it. */
const slowness = (page) => page.evaluate(() => {
  const start = performance.now();
  let sum = 0;
  for (let at = 0; at < 20_000_000; at += 1) sum += at % 7;
  return (performance.now() - start) / (sum > 0 ? 40 : 1);
});

/** In the page: devices that do not move. */
function stillDevices() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d');
  const draw = () => {
    context.fillStyle = '#40685f';
    context.fillRect(0, 0, 640, 360);
  };
  draw();
  setInterval(draw, 100);
  const audio = new AudioContext();
  const silence = audio.createMediaStreamDestination();
  navigator.mediaDevices.getUserMedia = async ({ audio: wantsAudio, video }) => new MediaStream([
    ...video ? canvas.captureStream(10).getVideoTracks() : [], ...wantsAudio ? silence.stream.getAudioTracks().map((track) => track.clone()) : [],
  ]);
}

describe('the screens', { skip: cannotRun() ?? (existsSync(join(DIST, 'index.html')) ? undefined : 'web/dist is not built') }, () => {
  let browser;
  let pages;
  let judge;

  before(async () => {
    browser = await startBrowser();
    pages = await servePages(DIST);
    judge = await browser.newPage();
  });

  after(async () => {
    await browser?.close();
    pages?.close();
  });

  async function open({ viewport, lang, colorScheme }) {
    const context = await browser.newContext({ viewport, colorScheme, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.on('pageerror', (error) => assert.fail(error));
    await page.addInitScript(stillDevices);
    return page;
  }

  /** Compares or takes a screenshot, and looks for flaws. */
  async function look(page, { name: variant, golden }, screen, host) {
    await page.evaluate(async () => {
      await document.fonts.ready;
      await new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); });
    });
    const name = `${screen}-${variant}`;
    assert.deepEqual(await page.evaluate(layoutFlaws, host), [], name);
    if (!golden) return;
    await page.mouse.move(0, 0);
    // Videos and meters are not the layout's.
    const shot = await page.screenshot({ animations: 'disabled', caret: 'hide', mask: [page.locator('video, meter')], maskColor: '#40685f' });
    assert.equal(await compare(judge, name, shot), undefined);
  }

  for (const variant of VARIANTS) {
    test(`the console: ${variant.name}`, async () => {
      const page = await open(variant);
      await page.clock.setFixedTime(NOW * 1000);
      await answerConsole(page);
      await page.goto(`${pages.url}/console#/overview`);
      for (const screen of CONSOLE) {
        await page.evaluate((to) => { location.hash = `#/${to}`; }, screen);
        await until(page, `${screen} is drawn`, () => document.querySelector('h1') && !document.querySelector('.loading')
          && [...document.querySelectorAll('.table')].every((table) => table.querySelector('tbody tr, .empty, p')), undefined, PATIENCE);
        // Devices look like rooms: their layout alone is checked.
        await look(page, { ...variant, golden: variant.golden && screen !== 'devices' }, `console-${screen.replace(/\W+/g, '-')}`);
        if (screen === 'rooms/1001') {
          // A member's charts.
          await page.locator('.qualities summary', { hasText: 'bob' }).click();
          await page.locator('.qualities .chart').first().waitFor();
          await page.locator('.panel-card', { has: page.locator('.qualities') }).evaluate((element) => window.scrollTo(0, element.getBoundingClientRect().top + window.scrollY - 80));
          await look(page, variant, 'console-quality');
        }
        if (screen === 'applications') {
          await page.locator('.row-actions button').nth(1).click();
          await page.locator('dialog .rule').first().waitFor();
          await look(page, { ...variant, golden: variant.golden && variant.viewport === PHONE }, 'console-video-rules');
        }
      }
      await page.context().close();
    });

    test(`an empty console says what to do, a failing one what is wrong: ${variant.name}`, async () => {
      for (const scenario of ['empty', 'failing']) {
        const page = await open(variant);
        await page.clock.setFixedTime(NOW * 1000);
        await answerConsole(page, scenario);
        for (const screen of scenario === 'empty' ? CONSOLE : ['rooms', 'recordings']) {
          await page.goto(`${pages.url}/console#/${screen}`);
          await until(page, `${scenario} ${screen}`, (selector) => document.querySelector(selector) ?? /new|about/.test(location.hash), scenario === 'empty' ? '.empty, .fine, .alarms, p.soft' : '.problem', PATIENCE);
          await look(page, { ...variant, golden: variant.golden && screen === 'recordings' }, `console-${scenario}-${screen.replace(/\W+/g, '-')}`);
        }
        if (scenario === 'failing') assert.match(await page.locator('.problem').first().innerText(), /the bus does not answer[\s\S]*503 · ResourceUnavailable · RequestId a1b2c3d4/);
        await page.context().close();
      }
    });

    test(`the sign-in: ${variant.name}`, async () => {
      const page = await open(variant);
      await page.route('**/console/session', (route) => route.fulfill({ status: 401, contentType: 'application/json', body: '{"error":{"code":"AuthFailure","message":"no session"}}' }));
      await page.goto(`${pages.url}/console`);
      await page.locator('#secret').waitFor();
      await look(page, variant, 'console-sign-in');
      await page.context().close();
    });

    test(`the lobby and the room: ${variant.name}`, async () => {
      const page = await open(variant);
      const answer = (path, body) => page.route(`**/demo/${path}`, (route) => route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) }));
      await answer('info', { sdkAppId: APPLICATION, demoMode: true });
      await answer('user-sig', { sdkAppId: APPLICATION, userSig: 'sig' });
      await answer('recordings', [{ name: 'demo-1001_2026', format: 'mp4', state: 'ready', size: 12_400_000, durationMs: 83_000, startedUnixMs: 0, url: 'http://localhost/recordings/demo.mp4' }]);
      const tell = await answerRooms(page, {
        roomId: 1001, members: ['ann', 'bob', 'cat', 'dora'], memberCount: 4,
        publishers: [{ userId: 'bob', audio: 'on', camera: 'muted' }, { userId: 'cat', audio: 'muted' }],
      });
      await page.goto(`${pages.url}/?room=1001&user=ann`);
      await until(page, 'the preview', () => document.querySelector('#preview').videoWidth > 0, undefined, PATIENCE);
      await look(page, variant, 'lobby');
      await page.locator('#join-button').click();
      await until(page, 'four tiles', () => document.querySelectorAll('.tile').length === 4 && document.querySelector('.tile.own video'), undefined, PATIENCE);
      const said = (from, message) => tell({ event: 'customMessage', userId: from, cmdId: 10, seq: 1, data: Buffer.from(JSON.stringify(message)).toString('base64') });
      said('bob', { kind: 'chat', text: 'Good morning! 早上好！' });
      said('dora', { kind: 'ask', up: true });
      await until(page, 'the request', () => document.querySelector('.prompt'), undefined, PATIENCE);
      await look(page, variant, 'room');
      for (const tab of ['people', 'mix']) {
        await page.locator(`#toggle-${tab}`).click();
        await look(page, variant, `room-${tab}`);
      }
      await page.context().close();
    });

    test(`the waiting room: ${variant.name}`, async () => {
      const page = await open(variant);
      const answer = (path, body) => page.route(`**/demo/${path}`, (route) => route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) }));
      await answer('info', { sdkAppId: APPLICATION, demoMode: true });
      await answer('user-sig', { sdkAppId: APPLICATION, userSig: 'sig' });
      await answer('recordings', []);
      const waitingRoom = { required: true, total: 31, users: [{ userId: 'emil', sinceUnixMs: Date.now() - 340_000 }, { userId: 'a-name-of-thirty-two-characters1', sinceUnixMs: Date.now() }] };
      const tell = await answerRooms(page, { roomId: 1001, members: ['ann'], memberCount: 1, publishers: [] }, {
        enterRoom: ({ pass }) => (pass ? undefined : { error: { code: 'admission_required', message: 'wait' } }),
        knock: () => ({ ok: true, state: 'waiting' }),
      });
      await page.goto(`${pages.url}/?room=1001&user=ann`);
      await until(page, 'the preview', () => document.querySelector('#preview').videoWidth > 0, undefined, PATIENCE);
      await page.locator('#join-button').click();
      await until(page, 'the page of who waits', () => !document.querySelector('#waiting-page').hidden, undefined, PATIENCE);
      await look(page, { ...variant, golden: false }, 'waiting');
      tell({ event: 'admission', state: 'admitted', pass: 'pass' });
      await until(page, 'the room', () => document.querySelectorAll('.tile').length === 1, undefined, PATIENCE);
      const sources = ['audio', 'camera', 'screen'];
      tell({ event: 'permissions', send: sources, receive: sources, moderate: true });
      tell({ event: 'waitingRoom', ...waitingRoom });
      await page.locator('#toggle-people').click();
      await until(page, 'the list', () => document.querySelectorAll('#waiting-list li').length === 2 && document.querySelector('.prompt'), undefined, PATIENCE);
      await look(page, { ...variant, golden: false }, 'waiting-moderator');
      await page.context().close();
    });

    test(`cameras: ${variant.name}`, async () => {
      const page = await open(variant);
      await page.route('**/demo/user-sig', (route) => route.fulfill({ contentType: 'application/json', body: JSON.stringify({ sdkAppId: APPLICATION, userSig: 'sig' }) }));
      // The camera never answers.
      await page.routeWebSocket(/\/ws$/, () => {});
      await page.goto(`${pages.url}/device.html`);
      await page.locator('#no-devices').waitFor();
      await look(page, { ...variant, golden: false }, 'devices');
      assert.equal(await page.locator('h1').innerText(), variant.lang === 'zh' ? '摄像头' : 'Cameras');
      await page.goto(`${pages.url}/device.html?device=cam_front`);
      await page.locator('#camera').waitFor();
      for (const tab of ['live', 'playback']) {
        await page.locator(`#tab-${tab}`).click();
        await look(page, { ...variant, golden: false }, `device-${tab}`);
      }
      await page.context().close();
    });

    test(`calls: ${variant.name}`, async () => {
      const page = await open(variant);
      await page.route('**/demo/user-sig', (route) => route.fulfill({ contentType: 'application/json', body: JSON.stringify({ sdkAppId: APPLICATION, userSig: 'sig' }) }));
      const tell = await answerCalls(page, [{ userId: 'bob', nickname: 'Bob B.', avatarUrl: '' }]);
      // The room of the call is never entered: its devices are still to come.
      await page.routeWebSocket(/\/ws$/, () => {});
      await page.goto(`${pages.url}/call.html?user=ann&auto=1&lang=${variant.lang}`);
      await until(page, 'ann is reachable', () => !document.querySelector('#phone').hidden, undefined, PATIENCE);
      await look(page, variant, 'call-page');
      const device = await page.evaluate(() => document.querySelector('#call').engine.deviceId);
      const view = (version, states, more) => tell({
        callId: 'c1', version, roomId: '@call:c1', inviter: 'bob', media: 'video', isGroup: true, ...more,
        parties: Object.entries(states).map(([userId, state]) => ({ userId, state, invitedBy: 'bob', ...userId === 'ann' && state === 'joined' ? { deviceId: device } : {} })),
      });
      view(1, { bob: 'joined', ann: 'ringing', cat: 'ringing' });
      await until(page, 'it rings', () => !document.querySelector('#call').shadowRoot.querySelector('.incoming').hidden, undefined, PATIENCE);
      await look(page, variant, 'call-incoming', '#call');
      view(2, { bob: 'joined', ann: 'joined', cat: 'ringing' }, { answeredForMs: 61_000 });
      await until(page, 'the window', () => document.querySelector('#call').shadowRoot.querySelectorAll('.tile').length === 3, undefined, PATIENCE);
      await look(page, variant, 'call-window', '#call');
      await page.context().close();
    });
  }

  test('the quality of members is waited for, may not be kept, and may fail without the rest of the page', async () => {
    const page = await open(VARIANTS[1]);
    await page.clock.setFixedTime(NOW * 1000);
    let arrived = () => {};
    let answer = new Promise((resolve) => { arrived = resolve; });
    const asked = [];
    await answerConsole(page, 'full', { DescribeCallDetailInfo: (fields) => {
      asked.push(fields);
      return answer;
    } });
    await page.goto(`${pages.url}/console#/rooms/1001`);
    const quality = page.getByRole('region', { name: 'Quality' });
    await quality.locator('.loading').waitFor();
    answer = { Total: 2, UserList: [], Data: [] };
    arrived(answer);
    await quality.getByText('No quality is kept of this time').waitFor();
    assert.deepEqual([asked[0].UserIds, asked[0].DataType, asked[0].EndTime - asked[0].StartTime], [['ann', 'bob'], ['all'], 900], 'those who send');
    // The time is chosen; then the server fails.
    answer = REFUSED;
    await quality.getByLabel('Time that is shown').selectOption({ label: 'Last hour' });
    const problem = quality.getByRole('alert');
    await problem.waitFor();
    assert.ok(asked.some(({ StartTime, EndTime }) => EndTime - StartTime === 3600));
    assert.match(await problem.innerText(), /the bus does not answer[\s\S]*503 · ResourceUnavailable · RequestId a1b2c3d4/);
    assert.ok(await page.getByRole('cell', { name: 'ann', exact: true }).isVisible(), 'the members are there');
    answer = { Total: 1, UserList: [], Data: [{ UserId: 'ann', PeerId: '', DataType: 'rtt', Content: [{ Time: NOW - 100, Value: 40 }, { Time: NOW - 50, Value: 410 }] }] };
    await problem.getByRole('button', { name: 'Try again' }).click();
    await quality.locator('summary', { hasText: 'ann' }).getByText('bad for 50 %').waitFor();
    await problem.waitFor({ state: 'detached' });
    assert.match(await quality.locator('.strip').first().getAttribute('aria-label'), /^good 50 %, fair 0 %, bad 50 % of the time$/);
    await quality.locator('summary', { hasText: 'bob' }).getByText('nothing was measured').waitFor();
    await quality.locator('summary', { hasText: 'ann' }).focus();
    await page.keyboard.press('Enter');
    assert.match(await quality.locator('.chart svg').getAttribute('aria-label'), /^Round-trip time: mean 225, most 410 ms at /);
    await page.context().close();
  });

  test('a node is drained after a question, with its progress, and taken back', async () => {
    for (const variant of VARIANTS) {
      const page = await open(variant);
      await page.clock.setFixedTime(NOW * 1000);
      const node = { Node: 'sfu-0', Sessions: 40, Capacity: 2000, LoadPercent: 20, IsFull: false, IsDraining: false };
      const asked = [];
      await answerConsole(page, 'full', {
        ListNodes: () => ({ SfuNodes: [node], MixNodes: [] }),
        DrainNode: (fields) => {
          asked.push(fields);
          Object.assign(node, { IsFull: true, IsDraining: true });
        },
        ResumeNode: (fields) => {
          asked.push(fields);
          Object.assign(node, { IsFull: false, IsDraining: false });
        },
      });
      await page.goto(`${pages.url}/console#/nodes`);
      await page.locator('.row-actions button, td button').first().click();
      await page.locator('dialog input[type=number]').fill('300');
      await look(page, { ...variant, golden: false }, 'console-drain');
      await page.locator('dialog button[type=submit]').click();
      await page.locator('[role=progressbar]').waitFor();
      node.Sessions = 10;
      await page.clock.setFixedTime(NOW * 1000);
      await until(page, 'its progress', () => document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow') === '75', undefined, PATIENCE);
      await look(page, { ...variant, golden: false }, 'console-draining');
      await page.locator('td button').first().click();
      await until(page, 'it is back', () => !document.querySelector('[role=progressbar]'), undefined, PATIENCE);
      assert.deepEqual(asked, [{ Node: 'sfu-0', Seconds: 300 }, { Node: 'sfu-0' }]);
      await page.context().close();
    }
  });

  test('all golden screenshots together are small', () => {
    const bytes = readdirSync(FOLDER).reduce((sum, name) => sum + statSync(join(FOLDER, name)).size, 0);
    console.log(`golden screenshots: ${(bytes / 1e6).toFixed(2)} MB`);
    assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
  });

  test('a screenshot that differs is refused', async () => {
    const page = await open(VARIANTS[1]);
    await page.clock.setFixedTime(NOW * 1000);
    await answerConsole(page);
    await page.goto(`${pages.url}/console#/rooms`);
    await page.locator('tbody tr').first().waitFor();
    await page.addStyleTag({ content: 'main { margin-left: 40px }' });
    const shot = await page.screenshot();
    if (process.env.UPDATE_SCREENS !== '1') assert.match(await compare(judge, 'console-rooms-desktop-en-light', shot), /% of it differs/);
    await page.context().close();
  });

  test('a player says why it does not play, and what to do', async () => {
    for (const [variant, protocol, status, words] of [[VARIANTS[1], 'flv', 404, /^This stream is not on the air\. Start/], [VARIANTS[0], 'hls', 403, /^此地址没有有效的播放权限/], [VARIANTS[2], 'flv', 0, /^The server does not answer/]]) {
      const page = await open(variant);
      await page.route('**/live/**', (route) => (status ? route.fulfill({ status }) : route.abort()));
      await page.goto(`${pages.url}/player.html?stream=none&type=${protocol}`);
      await until(page, `${status} in words`, () => document.querySelector('#message').textContent, undefined, PATIENCE);
      assert.match(await page.locator('#message').innerText(), words);
      await page.context().close();
    }
  });

  for (const [path, control] of Object.entries(ENTRANCES)) {
    test(`${path.split(/[?#]/)[0]} is small, can be used at once, and is accessible`, async () => {
      /** Loads it anew. `late`: how much of the permitted time it has taken. */
      const load = async () => {
        const page = await open(VARIANTS[1]);
        if (path.startsWith('/console')) await answerConsole(page);
        else await page.route('**/demo/*', (route) => route.fulfill({ contentType: 'application/json', body: JSON.stringify({ sdkAppId: APPLICATION, demoMode: true, userSig: 'sig' }) }));
        const loads = [];
        page.on('response', (response) => {
          if (/\.(js|css)$|html|\/$|console$/.test(new URL(response.url()).pathname)) loads.push(response.body().then((body) => gzipSync(body).length, () => 0));
        });
        const before = await slowness(page);
        await page.goto(`${pages.url}${path}`, { waitUntil: 'commit' });
        const ready = await page.waitForFunction((selector) => {
          const found = document.querySelector(selector);
          return found && !found.disabled && found.checkVisibility() && performance.now();
        }, control, { polling: 'raf', timeout: PATIENCE * 1000 });
        const [ms, slow] = [await ready.jsonValue(), Math.max(1, before, await slowness(page))];
        // Its scripts, too, and not only what the HTML has.
        await page.waitForLoadState('load');
        const bytes = (await Promise.all(loads)).reduce((sum, size) => sum + size, 0);
        console.log(`${path}: ${(bytes / 1000).toFixed(0)} kB, usable after ${ms.toFixed(0)} ms on a machine at ${slow.toFixed(1)} times its quiet time`);
        return { page, bytes, late: ms / (FIRST_LOAD.ms * slow) };
      };
      // Something else may take the machine for a moment: the best of three counts.
      let best = await load();
      for (let more = 0; more < 2 && best.late >= 1; more += 1) {
        await best.page.context().close();
        const next = await load();
        best = next.late < best.late ? next : { ...next, late: best.late };
      }
      const { page, bytes, late } = best;
      assert.ok(bytes > 3000 && bytes < FIRST_LOAD.bytes, `${bytes} bytes`);
      assert.ok(late < 1, `it takes ${late.toFixed(1)} times the permitted time`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      assert.deepEqual(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
      await page.context().close();
    });
  }

  test('10,000 rooms: the first rows come at once, and no step keeps the page busy', async () => {
    const page = await open(VARIANTS[1]);
    const rooms = manyRooms(10_000);
    await page.addInitScript(() => {
      window.busy = [];
      new PerformanceObserver((list) => window.busy.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
    });
    const calls = await answerConsole(page, 'full', { ListRooms: (asked) => pageOfRooms(rooms, asked) });
    await page.goto(`${pages.url}/console#/about`);
    await page.locator('h1').waitFor();
    const before = await slowness(page);
    await page.evaluate(() => { window.busy.length = 0; });
    const first = await page.evaluate(async () => {
      const start = performance.now();
      location.hash = '#/rooms';
      while (!document.querySelector('tbody tr')) await new Promise((resolve) => { requestAnimationFrame(resolve); });
      return performance.now() - start;
    });
    assert.equal(await page.locator('tbody tr').count(), 50, 'a page of rows, whatever there is');
    assert.equal(calls.ListRooms, 1, 'one call for them');
    assert.match(await page.locator('.pager').innerText(), /10,000/);
    const next = page.getByRole('button', { name: 'Next', exact: true });
    for (let step = 1; step <= 10; step += 1) {
      const room = String(100_000 + 50 * step);
      await next.click();
      await until(page, `page ${step + 1}`, (name) => document.querySelector('tbody tr a')?.textContent === name, room, PATIENCE);
    }
    await page.getByLabel('Search rooms').fill('109999');
    await until(page, 'the room that was searched', () => document.querySelectorAll('tbody tr').length === 1, undefined, PATIENCE);
    // What has not changed is not drawn again.
    await page.evaluate(() => {
      window.drawn = 0;
      new MutationObserver((changes) => { window.drawn += changes.length; }).observe(document.querySelector('tbody'), { childList: true, subtree: true });
    });
    const asked = calls.ListRooms;
    await until(page, 'it is asked again', () => true);
    while (calls.ListRooms < asked + 2) await new Promise((resolve) => { setTimeout(resolve, 100); });
    assert.equal(await page.evaluate(() => window.drawn), 0);
    const [longest, slow] = [Math.max(0, ...await page.evaluate(() => window.busy)), Math.max(1, before, await slowness(page))];
    console.log(`10,000 rooms: the first rows after ${first.toFixed(0)} ms, the longest task ${longest.toFixed(0)} ms, on a machine at ${slow.toFixed(1)} times its quiet time`);
    assert.ok(longest < 200 * slow, `a task of ${longest.toFixed(0)} ms`);
    await page.context().close();
  });
});
