import { expect, test } from 'vitest';
import { volumeOf } from './session';

test('silence is 0, full level is 100, and a normal voice is in between', () => {
  expect(volumeOf(0)).toBe(0);
  expect(volumeOf(1)).toBe(100);
  expect(volumeOf(0.1)).toBe(32);
  expect(volumeOf(-1)).toBe(0);
});
