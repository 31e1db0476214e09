import { expect, test } from 'vitest';
import { MAX_TEXT, decodeMessage, encodeMessage } from './room_messages';

test('a message is read as it was written, and fits into a custom message', () => {
  const text = '你'.repeat(MAX_TEXT);
  const bytes = encodeMessage({ kind: 'chat', text });
  expect(bytes.byteLength).toBeLessThanOrEqual(1024);
  expect(decodeMessage(bytes)).toEqual({ kind: 'chat', text });
  expect(decodeMessage(encodeMessage({ kind: 'hand', up: true }))).toEqual({ kind: 'hand', up: true });
});

test.each(['', 'hello', 'null', '[]', '{"kind":"chat"}', '{"kind":"chat","text":7}', '{"kind":"hand","up":"yes"}', '{"kind":"other"}'])(
  'the bytes of %j are no message of the demo', (text) => {
    expect(decodeMessage(new TextEncoder().encode(text).buffer as ArrayBuffer)).toBeUndefined();
    expect(decodeMessage(new Uint8Array([0xff, 0xfe]).buffer)).toBeUndefined();
  });
