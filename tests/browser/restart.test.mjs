// The server ends and starts again: who is in a room is back in it by themselves, and sees and hears the others.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const people = [{ user: 'ann', mark: 11 }, { user: 'bob', mark: 22 }];

describe('members of a server that is restarted', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];
  const pages = {};

  before(async () => {
    server = await startServer();
    for (const { user, mark } of people) {
      const browser = await startBrowser();
      browsers.push(browser);
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error(`${user}:`, error));
      await page.addInitScript(`${tools}\nmarkedDevices(${mark}, 700, 640, 360);`);
      await page.goto(`${server.url}/?room=1&user=${user}&codec=vp8&auto=1&audioProcessing=off`);
      pages[user] = page;
    }
    await seeOneAnother();
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  async function seeOneAnother() {
    await until(pages.ann, 'bob', shows, people[1], 60);
    await until(pages.bob, 'ann', shows, people[0], 60);
  }

  /** In the page. */
  function shows({ user, mark }) {
    const video = document.querySelector(`video[data-user="${user}"]`);
    return video && window.frameMark.readVideo(video)?.id === mark;
  }

  /** In the page: another frame is shown. */
  function isLive({ user, since }) {
    const shown = window.frameMark.readVideo(document.querySelector(`video[data-user="${user}"]`));
    return shown && shown.count !== since;
  }

  test('are in the room again, with their cameras and what they have muted', async () => {
    await pages.bob.evaluate(() => window.rotunda.room.mute('audio', true));
    await until(pages.ann, 'bob is muted', () => window.rotunda.room.publishers.get('bob')?.audio === 'muted');
    await server.restart();
    for (const [user, other] of [['ann', 'bob'], ['bob', 'ann']]) {
      const since = await pages[user].evaluate((of) => window.frameMark.readVideo(document.querySelector(`video[data-user="${of}"]`))?.count, other);
      await until(pages[user], `${other}'s video goes on`, isLive, { user: other, since }, 60);
    }
    await seeOneAnother();
    await until(pages.ann, 'the roster of the new process', () => window.rotunda.room.publishers.get('bob')?.camera === 'on', undefined, 60);
    assert.equal(await pages.ann.evaluate(() => window.rotunda.room.publishers.get('bob').audio), 'muted');
  });
});
