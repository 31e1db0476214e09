import { expect, test } from 'vitest';
import { bestGrid } from './layout';

test.each([1, 2, 3, 4, 5, 7, 9, 12, 16])('%i tiles fit into a wide place and do not overlap', (count) => {
  const { columns, rows, width, height } = bestGrid(count, 1000, 600, 8);
  expect(columns * rows).toBeGreaterThanOrEqual(count);
  expect(columns * width + (columns - 1) * 8).toBeLessThanOrEqual(1000);
  expect(rows * height + (rows - 1) * 8).toBeLessThanOrEqual(600);
});

test('two tiles stand side by side in a wide place and one above the other in a tall one', () => {
  expect(bestGrid(2, 1200, 600, 8).columns).toBe(2);
  expect(bestGrid(2, 380, 700, 8).columns).toBe(1);
});

test('on a phone many tiles keep a readable width and scroll', () => {
  const { columns, width } = bestGrid(40, 370, 500, 8);
  expect(columns).toBe(2);
  expect(width).toBeGreaterThanOrEqual(140);
});
