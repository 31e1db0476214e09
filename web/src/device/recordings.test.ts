import { expect, test } from 'vitest';
import { clockText, midnight, sizeText, weeks } from './recordings';

test('a month begins on its day of the week', () => {
  // June 2026 begins on a Monday, November 2026 on a Sunday.
  expect(weeks(2026, 5).slice(0, 2)).toEqual([1, 2]);
  expect(weeks(2026, 10).slice(0, 8)).toEqual([0, 0, 0, 0, 0, 0, 1, 2]);
  expect(weeks(2024, 1).at(-1)).toBe(29);
});

test('times and sizes are formatted for people', () => {
  expect([clockText(0), clockText(86_399), clockText(3661.9)]).toEqual(['00:00:00', '23:59:59', '01:01:01']);
  expect([sizeText(1), sizeText(999_999), sizeText(12_345_678)]).toEqual(['1 kB', '1000 kB', '12.3 MB']);
  expect(midnight(new Date(2026, 10, 25, 13, 5)) * 1000).toBe(new Date(2026, 10, 25).getTime());
});
