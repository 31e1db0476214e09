import { describe, expect, test } from 'vitest';
import { encodings, oneStream, simulcast } from './layers';
import { profileFor } from './profile';

describe('the profile of a client', () => {
  const rules = [
    { platform: 'ios', height: 360 },
    { role: 'audience' as const, height: 180 },
    { platform: 'web', role: 'anchor' as const, height: 720 },
    { height: 90 },
  ];

  test('is the first rule for its platform and role', () => {
    expect(profileFor(rules).height).toBe(720);
    expect(profileFor(rules, 'audience').height).toBe(180);
    expect(profileFor(rules, 'anchor', 'ios').height).toBe(360);
    expect(profileFor(rules, 'anchor', 'android').height).toBe(90);
    expect(profileFor([])).toEqual({});
  });
});

describe('a profile limits', () => {
  const large = { width: 1280, height: 720 };
  const active = (layers: number, wanted?: string[]) => Object.entries(encodings(large, wanted, layers))
    .filter(([, encoding]) => encoding.active).map(([rid]) => rid).sort();

  test('the layers to the largest ones', () => {
    expect([active(3), active(2), active(1)]).toEqual([['f', 'h', 'q'], ['f', 'h'], ['f']]);
    expect(active(1, ['q'])).toEqual(['f']);
  });

  test('the bitrates in proportion to that of the largest layer', () => {
    expect(simulcast().map(({ maxBitrate }) => maxBitrate)).toEqual([150_000, 500_000, 1_700_000]);
    expect(simulcast(850).map(({ maxBitrate }) => maxBitrate)).toEqual([75_000, 250_000, 850_000]);
  });

  test('the sizes in one stream', () => {
    const mode = (layers: number, maxHeight?: number) => oneStream(large, maxHeight, { layers, bitrate: 950 });
    expect(mode(3)).toMatchObject({ scalabilityMode: 'L3T3_KEY', maxBitrate: 950_000 });
    expect(mode(2)).toMatchObject({ scalabilityMode: 'L2T3_KEY', scaleResolutionDownBy: 1 });
    expect(mode(1, 360)).toMatchObject({ scalabilityMode: 'L1T3', scaleResolutionDownBy: 2 });
  });
});
