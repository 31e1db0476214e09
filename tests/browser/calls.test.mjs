// Calls through the component <rotunda-call> on its demo page.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PATIENCE, callPages } from './call_pages.mjs';
import { cannotRun, eventually, startServer, until } from './support.mjs';

describe('calls', { skip: cannotRun() }, () => {
  let server;
  const { open, status, says, press, ended, dial, sees, hears, inspect, close } = callPages(() => server);

  before(async () => { server = await startServer(); });

  after(async () => {
    await close();
    await server?.stop();
  });

  test('two people call, see and hear each other, and one hangs up', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')];
    await bob.locator('#nickname').fill('Bob B.');
    await bob.locator('#profile').getByRole('button', { name: 'Save' }).click();
    await inspect(ann, 'page');
    await dial(ann, 'bob');
    await status(ann, 'calling');
    await status(bob, 'calling');
    await until(bob, 'who calls', () => window.inside('.incoming h2').textContent === 'ann', undefined, PATIENCE);
    assert.equal(await bob.evaluate(() => document.querySelector('#call').shadowRoot.activeElement?.dataset.action), 'accept', 'the keyboard accepts');
    await inspect(bob, 'incoming');
    await inspect(ann, 'calling');
    await press(bob, 'Accept');
    for (const [page, other] of [[ann, 'bob'], [bob, 'ann']]) {
      await status(page, 'connected');
      await sees(page, other);
      await hears(page, other);
    }
    await until(ann, 'the nickname', () => window.inside('.tile[data-user="bob"] .name').textContent === 'Bob B.', undefined, PATIENCE);
    await until(ann, 'the duration', () => /^0:0[1-9]|^0:[1-9]|^[1-9]/.test(window.inside('#state').textContent), undefined, PATIENCE);
    await inspect(ann, 'connected');

    await press(ann, 'Mute');
    await until(bob, 'that ann is muted', () => window.inside('.tile[data-user="ann"] .name').textContent === 'ann · muted', undefined, PATIENCE);
    await press(ann, 'Unmute');
    await press(ann, 'Make small');
    await until(ann, 'the floating window', () => window.inside('.call.small').getBoundingClientRect().width < 300, undefined, PATIENCE);
    await inspect(ann, 'small');
    const box = () => ann.evaluate(() => window.inside('.call.small').getBoundingClientRect().toJSON());
    const start = await box();
    await ann.mouse.move(start.left + 60, start.top + 80);
    await ann.mouse.down();
    await ann.mouse.move(-300, -300, { steps: 5 });
    await ann.mouse.up();
    const dragged = await box();
    assert.deepEqual([Math.round(dragged.left), Math.round(dragged.top)], [0, 0], 'it stops at the edge of the page');
    await press(ann, 'Back to the call');

    await press(bob, 'Voice only');
    await until(ann, 'a voice call', () => !window.inside('video') && window.inside('[data-action="camera"]').hidden, undefined, PATIENCE);
    await says(ann, 'Now a voice call');
    await hears(ann, 'bob');
    await press(ann, 'To video');
    await sees(bob, 'ann');
    assert.equal(await bob.evaluate(() => Boolean(window.inside('video[data-user="bob"]'))), false, 'the other camera stays off until its owner opens it');

    await press(bob, 'Hang up');
    await ended(ann, 'hung up');
    await ended(bob, 'hung up');
    await status(ann, 'idle');
    assert.equal(await ann.evaluate(() => document.querySelectorAll('audio[data-user]').length), 0, 'nothing is heard any more');
    for (const page of [ann, bob]) await page.close();
  });

  test('a call is rejected, is cancelled, or times out; a user in a call is busy', async () => {
    const [ann, bob, cat] = [await open('ann', '&timeout=4'), await open('bob'), await open('cat')];
    await dial(ann, 'bob', 'Voice call');
    await status(bob, 'calling');
    await press(bob, 'Reject');
    await ended(ann, 'rejected');
    await status(ann, 'idle');

    await dial(ann, 'bob');
    await status(bob, 'calling');
    await press(ann, 'Cancel');
    await ended(bob, 'cancelled');
    await status(bob, 'idle');

    await dial(ann, 'bob');
    await ended(ann, 'no answer');
    await ended(bob, 'no answer');

    await dial(cat, 'bob');
    await status(bob, 'calling');
    await dial(ann, 'bob');
    await says(ann, 'is in another call');
    await ended(ann, 'busy');
    await press(cat, 'Cancel');
    await status(bob, 'idle');
    for (const page of [ann, bob, cat]) await page.close();
  });

  test('of two devices one answers, and the other stops ringing with the reason', async () => {
    const [ann, first, second] = [await open('ann'), await open('bob'), await open('bob')];
    await dial(ann, 'bob');
    await status(first, 'calling');
    await status(second, 'calling');
    await press(second, 'Accept');
    await status(second, 'connected');
    await ended(first, 'answered on another device');
    await status(first, 'idle');
    await sees(second, 'ann');
    await press(ann, 'Hang up');
    await status(second, 'idle');
    for (const page of [ann, first, second]) await page.close();
  });

  test('a missed call is told when the user comes', async () => {
    // Nobody has been dora before, whose device could still count as reachable.
    const ann = await open('ann', '&timeout=2');
    await dial(ann, 'dora');
    await ended(ann, 'nobody was reachable');
    const dora = await eventually('the missed call', async () => {
      const page = await open('dora');
      if (await page.evaluate(() => document.querySelector('#log').innerText.includes('Missed call of ann'))) return page;
      await page.close();
      return undefined;
    }, PATIENCE);
    await dora.close();
    const again = await open('dora');
    assert.equal(await again.evaluate(() => document.querySelector('#log').innerText), '', 'it is told once');
    for (const page of [ann, again]) await page.close();
  });

  test('a group call grows, is joined later, and ends with the last but one', async () => {
    const [ann, bob] = [await open('ann', '&group=team'), await open('bob')];
    await dial(ann, 'bob nobody');
    await status(bob, 'calling');
    await press(bob, 'Accept');
    await status(bob, 'connected');
    await sees(bob, 'ann');
    const cat = await open('cat');
    await cat.evaluate(() => document.querySelector('#call').joinInGroupCall({ groupID: 'team' }));
    await status(cat, 'connected');
    for (const other of ['ann', 'bob']) await sees(cat, other);
    await sees(ann, 'cat');
    await inspect(cat, 'group');
    await press(cat, 'Hang up');
    await says(ann, 'cat has left');
    await press(ann, 'Add people');
    await ann.locator('#call').getByLabel('User names').fill('cat');
    await inspect(ann, 'add');
    await press(ann, 'Call them');
    await status(cat, 'calling');
    await press(cat, 'Accept');
    await sees(cat, 'bob');
    await press(bob, 'Hang up');
    await press(cat, 'Hang up');
    await until(ann, 'nobody rings and the call is over', () => window.phoneStatus() === 'idle', undefined, PATIENCE);
    for (const page of [ann, bob, cat]) await page.close();
  });

  test('only the users of a call may enter its room', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')];
    await dial(ann, 'bob');
    await status(bob, 'calling');
    const roomId = await ann.evaluate(() => document.querySelector('#call').engine.call.roomId);
    const refused = await bob.evaluate(async (room) => {
      const ticket = await (await fetch('/demo/user-sig', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"userId":"eve"}' })).json();
      const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`);
      const next = () => new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(JSON.parse(data)); });
      await new Promise((resolve) => { socket.onopen = resolve; });
      socket.send(JSON.stringify({ id: 1, op: 'login', userId: 'eve', ...ticket }));
      await next();
      socket.send(JSON.stringify({ id: 2, op: 'enterRoom', roomId: room }));
      return (await next()).error.code;
    }, roomId);
    assert.equal(refused, 'not_permitted');
    await press(ann, 'Cancel');
    for (const page of [ann, bob]) await page.close();
  });
});
