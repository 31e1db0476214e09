// The WebSocket is lost for some seconds: media continues, and the changes of that time are known afterwards.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const people = [{ user: 'ann', mark: 11 }, { user: 'bob', mark: 22 }, { user: 'cat', mark: 33 }];

/** A connection to the server that can be cut; while it is cut, no other one is possible. */
async function cuttable(page) {
  const connection = { isCut: false, sockets: [] };
  await page.routeWebSocket(/\/ws/, (socket) => {
    if (connection.isCut) return socket.close();
    connection.sockets.push([socket, socket.connectToServer()]);
    return undefined;
  });
  connection.cut = async () => {
    connection.isCut = true;
    for (const ends of connection.sockets.splice(0)) for (const end of ends) await end.close();
  };
  connection.mend = () => { connection.isCut = false; };
  return connection;
}

describe('a member without a WebSocket', { skip: cannotRun() }, () => {
  let server;
  const browsers = [];
  const pages = {};
  let connection;

  before(async () => {
    server = await startServer();
    for (const { user, mark } of people) {
      const browser = await startBrowser();
      browsers.push(browser);
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error(`${user}:`, error));
      if (user === 'ann') connection = await cuttable(page);
      await page.addInitScript(`${tools}\nmarkedDevices(${mark}, 700, 640, 360);`);
      await page.goto(`${server.url}/?room=1&user=${user}&codec=vp8&auto=1&audioProcessing=off`);
      pages[user] = page;
    }
    for (const user of ['bob', 'cat']) await until(pages.ann, user, shows, people.find((one) => one.user === user));
  });

  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
  });

  /** In the page. */
  function shows({ user, mark }) {
    const video = document.querySelector(`video[data-user="${user}"]`);
    return video && window.frameMark.readVideo(video)?.id === mark;
  }

  const packets = (page) => page.evaluate(async () => {
    const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
    return stats.filter(({ type }) => type === 'inbound-rtp').reduce((sum, { packetsReceived }) => sum + packetsReceived, 0);
  });

  const framesOfBob = () => pages.ann.evaluate(async () => {
    const { track } = window.rotunda.room.remotes.find(({ userId, source }) => userId === 'bob' && source === 'camera');
    const stats = [...(await window.rotunda.peerConnection().getStats()).values()];
    return stats.find(({ type, trackIdentifier }) => type === 'inbound-rtp' && trackIdentifier === track.id).framesDecoded;
  });

  test('continues to see and hear', async () => {
    await connection.cut();
    await until(pages.ann, 'the banner', () => document.querySelector('#banner').textContent.startsWith('Connection lost'));
    const before = await packets(pages.ann);
    await eventually('200 more packets', async () => (await packets(pages.ann)) > before + 200);
  });

  test('learns afterwards which member has left, and sees the one that has started again', async () => {
    await pages.bob.evaluate(() => window.rotunda.room.unpublish('camera'));
    let before;
    await eventually("bob's video stops, because the server has removed it from the slots", async () => {
      const last = before;
      before = await framesOfBob();
      return before === last;
    });
    await pages.bob.evaluate(async () => {
      const [track] = (await navigator.mediaDevices.getUserMedia({ video: true })).getVideoTracks();
      await window.rotunda.room.publish('camera', track);
    });
    await pages.cat.evaluate(() => window.rotunda.room.leave());
    connection.mend();
    await until(pages.ann, 'cat has left', () => !window.rotunda.room.members.has('cat') && window.rotunda.room.memberCount === 2);
    assert.deepEqual(await pages.ann.evaluate(() => [...window.rotunda.room.publishers.keys()].sort()), ['ann', 'bob']);
    await until(pages.ann, 'the banner has gone', () => document.querySelector('#banner').textContent === '');
    await until(pages.ann, 'the frame counter of bob advances', (mark) => {
      const read = window.frameMark.readVideo(document.querySelector('video[data-user="bob"]'));
      if (read?.id !== mark) return false;
      window.firstOfBob ??= read.count;
      return ((read.count - window.firstOfBob) & 0xffff) > 20;
    }, people[1].mark);
  });
});
