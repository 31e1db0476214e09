import { expect, test } from 'vitest';
import { ChatHistory } from './chat_history';

test('one of those who were here tells a new member the last messages', () => {
  const [bob, cat] = ['bob', 'cat'].map((self) => new ChatHistory(self, 0)) as [ChatHistory, ChatHistory];
  for (let number = 1; number <= 25; number += 1) for (const history of [bob, cat]) history.add({ from: 'bob', text: String(number) });
  const members = ['ann', 'bob', 'cat'];
  expect([bob, cat].map((history) => history.rank('ann', members))).toEqual([0, 1]);
  const told = bob.tell('ann');
  expect([told.length, told[0]]).toEqual([20, { kind: 'past', to: 'ann', from: 'bob', text: '6' }]);
  cat.noteTold('ann');
  expect(cat.tell('ann')).toEqual([]);
  // Nobody before them has any, or they come again.
  expect(cat.rank('ann', members)).toBe(1);
  expect(cat.tell('ann').length).toBe(20);
});

test('earlier messages are taken of one member, and right after entering only', () => {
  const history = new ChatHistory('ann', 1000);
  expect([history.takes('bob', 'dora', 1500), history.takes('bob', 'ann', 2000), history.takes('cat', 'ann', 2100), history.takes('bob', 'ann', 9000), history.takes('bob', 'ann', 20_000)])
    .toEqual([false, true, false, true, false]);
});
