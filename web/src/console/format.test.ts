import { expect, test } from 'vitest';
import { bytes, csv, duration, measured } from './format';
import { curl, roomOf } from './api';

test('times and sizes are for people', () => {
  expect([0, 59.6, 3723].map(duration)).toEqual(['0:00', '1:00', '1:02:03']);
  expect([0, 999, 12_345, 1_500_000, 2e12].map(bytes)).toEqual(['0 B', '999 B', '12 kB', '1.5 MB', '2 TB']);
  expect(measured('mix_hd_ms', 90_000)).toEqual({ value: 1.5, unit: 'min' });
  expect(measured('members_peak', 3)).toEqual({ value: 3, unit: '' });
});

test('CSV keeps commas and quotes, and has no formulas', () => {
  expect(csv([['a,b', 'say "x"', 3], ['=1+1', '-x', -4]])).toBe('"a,b","say ""x""",3\r\n\'=1+1,\'-x,-4\r\n');
});

test('digits are a numeric room', () => {
  expect(roomOf('1001')).toEqual({ isNumber: true, value: 1001 });
  expect(roomOf('text:1001')).toEqual({ isNumber: false, value: '1001' });
  expect(roomOf('class-1')).toEqual({ isNumber: false, value: 'class-1' });
});

test('a call is a command that a shell reads', () => {
  expect(curl('ListMembers', { Room: "o'hara" }, 'https://media.example/rtc/console'))
    .toBe(String.raw`curl -H "authorization: Bearer $SECRET_ID:$API_SECRET" https://media.example/rtc/v1/ListMembers -d '{"Room":"o'\''hara"}'`);
});
