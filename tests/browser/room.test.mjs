// Two people meet in a room through the demo page, each in their own Chromium.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const people = [
  { user: 'ann', codec: 'vp8', id: 11, tone: 700 },
  { user: 'bob', codec: 'h264', id: 22, tone: 1500 },
];

describe('two people in a room', { skip: cannotRun() }, () => {
  let server;
  const browsers = {};
  const pages = {};

  before(async () => {
    server = await startServer({ ROTUNDA__SIGNALING__RESUME_SECONDS: '3' });
    for (const { user, codec, id, tone } of people) {
      browsers[user] = await startBrowser();
      const page = await browsers[user].newPage();
      page.on('pageerror', (error) => console.error(`${user}:`, error));
      await page.addInitScript(`${tools}\nmarkedDevices(${id}, ${tone});`);
      await page.goto(`${server.url}/?room=1001&user=${user}&codec=${codec}&auto=1&audioProcessing=off`);
      pages[user] = page;
    }
  });

  after(async () => {
    for (const browser of Object.values(browsers)) await browser.close();
    await server?.stop();
  });

  for (const [me, other] of [[people[0], people[1]], [people[1], people[0]]]) {
    test(`${me.user} sees ${other.user}'s own frames, and the frame counter advances`, async () => {
      const read = (user) => {
        const video = document.querySelector(`video[data-user="${user}"]`);
        return window.frameMark.readVideo(video);
      };
      const first = await until(pages[me.user], 'a marked frame', read, other.user, 40);
      assert.equal(first.id, other.id);
      const later = await until(pages[me.user], 'a later frame', ([user, count]) => {
        const mark = window.frameMark.readVideo(document.querySelector(`video[data-user="${user}"]`));
        return mark && ((mark.count - count) & 0xffff) > 20 && mark;
      }, [other.user, first.count]);
      assert.equal(later.id, other.id);
    });

    test(`${me.user} hears ${other.user}'s tone and not the own one`, async () => {
      const levels = await eventually('the tone', async () => {
        const [theirs, mine] = await pages[me.user].evaluate(async ([user, tones]) => {
          const audio = document.querySelector(`audio[data-user="${user}"]`);
          return audio?.srcObject ? window.toneLevels(audio.srcObject, tones) : [-200, -200];
        }, [other.user, [other.tone, me.tone]]);
        return theirs > -60 && { theirs, mine };
      }, 30);
      assert.ok(levels.theirs > levels.mine + 25, `theirs ${levels.theirs} dB, mine ${levels.mine} dB`);
    });
  }

  test('each sends the requested codec', async () => {
    for (const { user, codec } of people) {
      const sent = await pages[user].evaluate(async () => {
        const stats = await window.rotunda.peerConnection().getStats();
        const all = [...stats.values()];
        const video = all.find((entry) => entry.type === 'outbound-rtp' && entry.kind === 'video' && entry.framesEncoded > 0);
        return all.find((entry) => entry.id === video.codecId).mimeType;
      });
      assert.equal(sent.toLowerCase(), `video/${codec}`);
    }
  });

  test('a browser that is killed is gone from the room after the resume time', async () => {
    await browsers.bob.close();
    delete browsers.bob;
    await until(pages.ann, 'bob has left', () => !document.querySelector('video[data-user="bob"]'), undefined, 15);
  });
});
