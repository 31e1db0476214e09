import { describe, expect, test } from 'vitest';
import { decode, encode, fromBase64, toBase64 } from './custom_messages';
import { RotundaError } from './types';

const bytes = (...values: number[]) => new Uint8Array(values).buffer;

describe('custom messages', () => {
  test('begin with their command and have at most 1024 bytes', () => {
    expect([...encode(7, bytes(1, 2))]).toEqual([7, 1, 2]);
    expect(encode(1, new ArrayBuffer(1024))).toHaveLength(1025);
    expect(() => encode(1, new ArrayBuffer(1025))).toThrow(expect.objectContaining({ code: 'custom_message_too_large' }));
    for (const cmdId of [0, 11, 1.5]) {
      expect(() => encode(cmdId, bytes())).toThrow(expect.objectContaining({ code: 'bad_custom_message' }));
    }
  });

  test('contain their sender and number', () => {
    const message = decode(bytes(1, 7, 0, 0, 1, 2, 3, 97, 110, 110, 104, 105));
    expect(message).toEqual({ userId: 'ann', cmdId: 7, seq: 258, data: bytes(104, 105) });
  });

  test('are base64 on signaling', () => {
    expect(toBase64(bytes(104, 105))).toBe('aGk=');
    expect(fromBase64(toBase64(bytes(0, 255, 128)))).toEqual(bytes(0, 255, 128));
  });

  test('that were refused have a reason', () => {
    const refused = decode(new TextEncoder().encode('\x02custom_message_rate').buffer);
    expect(refused).toBeInstanceOf(RotundaError);
    expect(refused).toMatchObject({ code: 'custom_message_rate' });
  });

  test('of an unknown kind, or truncated, are ignored', () => {
    for (const cut of [bytes(), bytes(9, 1), bytes(1, 7, 0, 0, 0, 1), bytes(1, 7, 0, 0, 0, 1, 5, 97)]) {
      expect(decode(cut)).toBeUndefined();
    }
  });
});
