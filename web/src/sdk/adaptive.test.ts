import { expect, test } from 'vitest';
import { wantedHeight } from './adaptive';

test('a tile gets the next larger step of its height in device pixels', () => {
  expect(wantedHeight({ height: 100, ratio: 1, isVisible: true })).toBe(180);
  expect(wantedHeight({ height: 180, ratio: 1, isVisible: true })).toBe(180);
  expect(wantedHeight({ height: 180, ratio: 3, isVisible: true })).toBe(540);
  expect(wantedHeight({ height: 4000, ratio: 2, isVisible: true })).toBe(2160);
});

test('a tile that nobody can see gets the smallest step', () => {
  expect(wantedHeight({ height: 1080, ratio: 2, isVisible: false })).toBe(90);
});
