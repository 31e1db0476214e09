import { expect, test } from 'vitest';
import { Poll, SLOWEST, type Surroundings } from './poll';

/** Timers that run when the test says so, and a page that can be hidden. */
function page() {
  const timers: { run: () => void; ms: number }[] = [];
  let hidden = false;
  let changed = () => {};
  const around: Surroundings = {
    later(run, ms) { const timer = { run, ms }; timers.push(timer); return timer; },
    cancel(timer) { timers.splice(timers.indexOf(timer), 1); },
    isHidden: () => hidden,
    onVisibility(run) { changed = run; return () => { changed = () => {}; }; },
  };
  return {
    around, timers,
    hide(value: boolean) { hidden = value; changed(); },
    tick() { timers.shift()?.run(); },
    settled: () => new Promise((resolve) => { setTimeout(resolve); }),
  };
}

test('it runs at once and again after each interval, slower while it fails', async () => {
  const { around, timers, tick, settled } = page();
  let runs = 0;
  let fails = false;
  const poll = new Poll(async () => { runs += 1; if (fails) throw new Error('away'); }, 3000, around);
  await settled();
  expect([runs, timers[0]?.ms]).toEqual([1, 3000]);
  fails = true;
  const waits = [];
  for (let turn = 0; turn < 6; turn += 1) {
    tick();
    await settled();
    waits.push(timers[0]?.ms);
  }
  expect(waits).toEqual([6000, 12_000, 24_000, 48_000, SLOWEST, SLOWEST]);
  fails = false;
  tick();
  await settled();
  expect(timers[0]?.ms).toBe(3000);
  poll.stop();
  expect(timers).toEqual([]);
});

test('it rests while the page is hidden and runs at once when it is shown', async () => {
  const { around, timers, hide, settled } = page();
  let runs = 0;
  new Poll(async () => { runs += 1; }, 3000, around);
  await settled();
  hide(true);
  expect(timers).toEqual([]);
  hide(false);
  await settled();
  expect([runs, timers.length]).toEqual([2, 1]);
});

test('a request during another one follows it', async () => {
  const { around, timers, settled } = page();
  const ends: (() => void)[] = [];
  const poll = new Poll(() => new Promise<void>((resolve) => { ends.push(resolve); }), 3000, around);
  poll.now();
  poll.now();
  expect(ends.length).toBe(1);
  ends[0]?.();
  await settled();
  expect([ends.length, timers.length]).toEqual([2, 0]);
  ends[1]?.();
  await settled();
  expect([ends.length, timers.length]).toEqual([2, 1]);
});
