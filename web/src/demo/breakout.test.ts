import { expect, test } from 'vitest';
import { addressBack, addressOf, split } from './breakout';
import { encodeMessage } from './room_messages';

test('members are spread over the rooms', () => {
  const moves = split(['ann', 'bob', 'cat'], 2, '1001', 10);
  expect(moves.map(({ to, room }) => [to, room])).toEqual([['ann', '1001-1'], ['bob', '1001-2'], ['cat', '1001-1']]);
  expect(encodeMessage(split(['a'.repeat(64)], 6, 'b'.repeat(62), 30)[0]!).byteLength).toBeLessThan(1024);
});

test('the address keeps what it had, and leads back', () => {
  const away = addressOf('?room=1001&user=ann&codec=vp8', '1001-2', '1001', 5000);
  expect(away).toBe('?room=1001-2&user=ann&codec=vp8&back=1001&until=5000&auto=1');
  expect(addressBack(away)).toBe('?room=1001&user=ann&codec=vp8&auto=1');
});
