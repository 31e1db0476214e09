import { expect, test } from 'vitest';
import { inWords, settingsOf, shadowed } from './screens/stream_profiles';

test('a rule is said in words', () => {
  expect(inWords({ Platform: 'web', Role: 'anchor', Codec: 'h264', Width: 1280, Height: 720, Framerate: 30, Bitrate: 1500, Layers: 2 }))
    .toBe('Browsers, speakers: H.264, 1280×720, 30 fps, 1,500 kbit/s, 2 sizes');
  expect(inWords({ Platform: 'ios', Height: 360, Layers: 1 })).toBe('iOS: 360 lines, 1 size');
  expect(inWords({})).toBe('All platforms: as the client chooses');
});

test('a rule that nobody follows is known', () => {
  expect(shadowed([{ Platform: 'web' }, { Platform: 'web', Role: 'anchor' }, { Platform: 'ios' }])).toEqual([1]);
  expect(shadowed([{ Role: 'audience' }, { Platform: 'web' }, {}, { Platform: 'mac' }])).toEqual([3]);
});

test('no rules are a word of their own', () => {
  expect(settingsOf([{ Layers: 1 }])).toEqual({ StreamProfiles: [{ Layers: 1 }] });
  expect(settingsOf([])).toEqual({ NoStreamProfiles: true });
});
