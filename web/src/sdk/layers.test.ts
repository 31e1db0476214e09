import { describe, expect, test } from 'vitest';
import { encodings, needsOneRate, oneStream } from './layers';

const active = (size: { width?: number; height?: number }, wanted?: string[]) => Object.entries(encodings(size, wanted))
  .filter(([, encoding]) => encoding.active).map(([rid]) => rid).sort();

describe('layers of a camera', () => {
  const large = { width: 1280, height: 720 };
  const small = { width: 640, height: 360 };

  test('are three of a large frame and two of a small one, the highest in full size', () => {
    expect(active(large)).toEqual(['f', 'h', 'q']);
    expect(active(small)).toEqual(['h', 'q']);
    expect(encodings(large)['f']?.scaleResolutionDownBy).toBe(1);
    expect(encodings(small)['h']?.scaleResolutionDownBy).toBe(1);
  });

  test('are the existing ones among those that the server requests', () => {
    expect(active(large, ['q', 'f'])).toEqual(['f', 'q']);
    expect(active(small, ['q', 'f'])).toEqual(['q']);
  });

  test('are never empty', () => {
    expect(active(large, [])).toEqual(['q']);
    expect(active(small, ['f'])).toEqual(['q']);
  });
});

describe('sizes in one stream', () => {
  const mode = (height: number, maxHeight?: number) => {
    const { scalabilityMode, scaleResolutionDownBy } = oneStream({ height }, maxHeight);
    return `${scalabilityMode}/${scaleResolutionDownBy}`;
  };

  test('are all sent by default', () => {
    expect(mode(720)).toBe('L3T3_KEY/1');
    expect(mode(720, 720)).toBe('L3T3_KEY/1');
  });

  test('end with the largest that is watched, in the same size', () => {
    expect([mode(720, 360), mode(720, 180), mode(576, 144)]).toEqual(['L2T3_KEY/2', 'L1T3/4', 'L1T3/4']);
    // A browser sends two of a small frame.
    expect(mode(360, 180)).toBe('L2T3_KEY/2');
    // The camera has changed since.
    expect([mode(1080, 180), mode(180, 360)]).toEqual(['L1T3/4', 'L3T3_KEY/1']);
  });
});

test('high loss reduces three frame rates to one, until the loss is nearly gone', () => {
  const losses = [0, 4, 5, 12, 2, 1, 4];
  let has = false;
  expect(losses.map((loss) => { has = needsOneRate(has, loss); return has; })).toEqual([false, false, true, true, true, false, false]);
});
