import { describe, expect, test } from 'vitest';
import { encodings, needsOneRate } from './layers';

const active = (size: { width?: number; height?: number }, wanted?: string[]) => Object.entries(encodings(size, wanted))
  .filter(([, encoding]) => encoding.active).map(([rid]) => rid).sort();

describe('layers of a camera', () => {
  const large = { width: 1280, height: 720 };
  const small = { width: 640, height: 360 };

  test('are three of a large picture and two of a small one, the best in full size', () => {
    expect(active(large)).toEqual(['f', 'h', 'q']);
    expect(active(small)).toEqual(['h', 'q']);
    expect(encodings(large)['f']?.scaleResolutionDownBy).toBe(1);
    expect(encodings(small)['h']?.scaleResolutionDownBy).toBe(1);
  });

  test('are those that the server asks for, of those that there are', () => {
    expect(active(large, ['q', 'f'])).toEqual(['f', 'q']);
    expect(active(small, ['q', 'f'])).toEqual(['q']);
  });

  test('are never none', () => {
    expect(active(large, [])).toEqual(['q']);
    expect(active(small, ['f'])).toEqual(['q']);
  });
});

test('much loss makes one rate of three, until it is nearly gone', () => {
  const losses = [0, 4, 5, 12, 2, 1, 4];
  let has = false;
  expect(losses.map((loss) => { has = needsOneRate(has, loss); return has; })).toEqual([false, false, true, true, true, false, false]);
});
