import { expect, test } from 'vitest';
import { uncounted } from './counted';
import { fill } from './fill';

test('values are put into a text, and words follow their number', () => {
  expect(fill('{1} of {0}', ['a', 2])).toBe('2 of a');
  expect(fill('{0} is missing', [])).toBe(' is missing');
  const text = '{0} {0|room has|rooms have} {1} {1|member|members}.';
  expect(fill(text, [1, '1,250'])).toBe('1 room has 1,250 members.');
  expect(fill(text, ['0', '1'])).toBe('0 rooms have 1 member.');
  expect(fill(text, [1.5, 21])).toBe('1.5 rooms have 21 members.');
});

test('a counted word with one form is found', () => {
  expect(uncounted(['{0} rooms', '{0} {0|room|rooms}', 'room {0}', '{0} people', '{0} missed calls', '{0} in all', '{0} is in another call']))
    .toEqual(['{0} rooms', '{0} people', '{0} missed calls']);
});
