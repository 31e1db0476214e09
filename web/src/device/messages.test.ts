import { describe, expect, test } from 'vitest';
import { Assembler, MAX_COMMAND, ROOM_FRAGMENT, cut, read, write } from './messages';

const message = (bytes: number) => ({
  json: { id: 3, op: 'command' },
  binary: Uint8Array.from({ length: bytes }, (_, at) => at % 251),
});

describe('messages with a device', () => {
  test('of 16 KiB are complete in any order of fragments', () => {
    const fragments = cut(write(message(MAX_COMMAND)), 'ann', 9, ROOM_FRAGMENT);
    expect(Math.max(...fragments.map((fragment) => fragment.length))).toBe(ROOM_FRAGMENT);
    const at = new Assembler('ann');
    const got = fragments.reverse().map((fragment) => at.take(0, 'cam', fragment));
    expect(got.filter(Boolean)).toEqual([message(MAX_COMMAND)]);
  });

  test('have the same layout as on the device', () => {
    const [fragment] = cut(write({ json: {}, binary: new Uint8Array([5]) }), 'ab', 0x01020304, ROOM_FRAGMENT);
    expect([...fragment ?? []]).toEqual([1, 2, 97, 98, 1, 2, 3, 4, 0, 0, 0, 1, 0, 2, 123, 125, 5]);
  });

  test('for other users, or truncated, are ignored', () => {
    const at = new Assembler('bob');
    for (const fragment of cut(write(message(10)), 'ann', 1, ROOM_FRAGMENT)) expect(at.take(0, 'cam', fragment)).toBeUndefined();
    for (const bytes of [[], [1], [1, 3, 98], [2, 3, 98, 111, 98, 0, 0, 0, 0, 0, 0, 0, 1, 9]]) {
      expect(at.take(0, 'cam', new Uint8Array(bytes))).toBeUndefined();
    }
    expect(read(new Uint8Array([0, 9, 1]))).toBeUndefined();
  });

  test('that never become complete are dropped', () => {
    const at = new Assembler('ann');
    const [first, ...rest] = cut(write(message(3000)), 'ann', 1, ROOM_FRAGMENT);
    at.take(0, 'cam', first ?? new Uint8Array());
    expect(rest.map((fragment) => at.take(10_001, 'cam', fragment)).some(Boolean)).toBe(false);
  });
});
