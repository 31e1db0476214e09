import { expect, test } from 'vitest';
import { grade, grades, inOrder, inWords, instants, measure, pieces, shares, summary } from './measures';
import type { Quality } from './types';

const series = (DataType: string, values: [number, number][], UserId = 'ann'): Quality => ({ UserId, PeerId: '', DataType, Content: values.map(([Time, Value]) => ({ Time, Value })) });

test('measures have words and units, and an unknown one its own name', () => {
  expect([measure('bigvBit').name, measure('bigvBit').unit]).toEqual(['Video sent', 'kbit/s']);
  expect(measure('sysCpu')).toEqual({ name: 'sysCpu', unit: '', scale: 1 });
  expect(instants(series('aBit', [[10, 32_000]]))).toEqual([{ time: 10, value: 32 }]);
  expect(inOrder([series('sysCpu', []), series('rtt', []), series('bigvBit', [])]).map((one) => one.DataType)).toEqual(['bigvBit', 'rtt', 'sysCpu']);
});

test('loss and round trips are graded as the server scores them', () => {
  expect([0, 3, 4, 8, 9].map((value) => grade('aLoss', value))).toEqual(['good', 'good', 'warn', 'warn', 'bad']);
  expect([200, 201, 401].map((value) => grade('rtt', value))).toEqual(['good', 'warn', 'bad']);
  expect(grade('bigvBit', 0)).toBeUndefined();
});

test('each part of the time has its worst grade, and none where nothing was measured', () => {
  const all = [series('aLoss', [[0, 0], [10, 5], [20, 0]]), series('rtt', [[10, 500]]), series('aBit', [[30, 0]])];
  expect(grades(all, 0, 60, 6)).toEqual(['good', 'bad', 'good', 'good', undefined, undefined]);
  expect(grades(all, 0, 60, 3)).toEqual(['bad', 'good', undefined]);
  const full = series('rtt', Array.from({ length: 90 }, (_, index) => [1_790_000_000 + 10 * index, 40]));
  expect(grades([full], 1_790_000_000, 1_790_000_900, 90)).toEqual(new Array(90).fill('good'));
  expect(grades([series('rtt', [[-10, 900], [60, 900]])], 0, 60, 1)).toEqual([undefined]);
});

test('shares are of the measured time, and what happened at all is seen', () => {
  expect(shares(['good', 'good', 'warn', undefined])).toEqual({ good: 67, warn: 33, bad: 0 });
  expect(shares([...new Array<'good'>(999).fill('good'), 'bad'])).toEqual({ good: 99, warn: 0, bad: 1 });
  expect(shares([undefined])).toEqual({ good: 0, warn: 0, bad: 0 });
});

test('a line breaks where nothing was measured for longer than two steps', () => {
  const at = (...times: number[]) => times.map((time) => ({ time, value: 1 }));
  const times = (...all: number[]) => pieces(at(...all)).map((piece) => piece.map(({ time }) => time));
  expect(times(0, 10, 30, 60, 70)).toEqual([[0, 10, 30], [60, 70]]);
  expect(times(5)).toEqual([[5]]);
  expect(times()).toEqual([]);
});

test('a member and a chart are said in words', () => {
  expect(inWords([series('rtt', [[0, 30], [10, 50]]), series('bigvBit', [[0, 1_000_000]]), series('aLoss', [])])).toBe('video 1,000 kbit/s · round trip 40 ms');
  expect(summary('Video sent', 'kbit/s', [{ time: 0, value: 1 }, { time: 10, value: 4 }])).toMatch(/^Video sent: mean 2.5, most 4 kbit\/s at /);
});
