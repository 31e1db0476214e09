import { expect, test } from 'vitest';
import { minutes, together } from './waiting';

const user = (number: number) => ({ userId: `user${number}`, sinceUnixMs: number });

test('the list has the first users of the server and those of the pages after them, nobody twice', () => {
  const pages = [1, 2, 3, 4, 5].map(user);
  const now = { required: true, total: 4, users: [2, 3].map(user) };
  expect(together(now, pages).map(({ userId }) => userId)).toEqual(['user2', 'user3', 'user4', 'user5']);
  expect(together({ ...now, total: 2 }, pages)).toEqual(now.users);
  expect(together({ ...now, total: 3 }, pages)).toHaveLength(3);
  expect(together({ required: true, total: 0, users: [] }, pages)).toEqual([]);
});

test('minutes are whole, and a clock that is wrong gives none', () => {
  expect([minutes(0, 59_999), minutes(0, 60_000), minutes(60_000, 0)]).toEqual([0, 1, 0]);
});
