import { expect, test } from 'vitest';
import { MAX_TEXT, decodeMessage, encodeMessage } from './room_messages';

test('a message is read as it was written, and fits into a custom message', () => {
  const text = '你'.repeat(MAX_TEXT);
  const bytes = encodeMessage({ kind: 'chat', text });
  expect(bytes.byteLength).toBeLessThanOrEqual(1024);
  expect(decodeMessage(bytes)).toEqual({ kind: 'chat', text });
  expect(encodeMessage({ kind: 'past', to: 'a'.repeat(64), from: 'b'.repeat(64), text }).byteLength).toBeLessThanOrEqual(1024);
  expect(decodeMessage(encodeMessage({ kind: 'hand', up: true }))).toEqual({ kind: 'hand', up: true });
});

test.each([
  { kind: 'react', with: 'heart' }, { kind: 'past', to: 'ann', from: 'bob', text: 'Hi' }, { kind: 'ask', up: true }, { kind: 'seat', to: 'ann', may: false }, { kind: 'declined', to: 'ann' }, { kind: 'move', to: 'ann', room: '1001-2', minutes: 10 },
] as const)('the message %j is read as it was written', (message) => {
  expect(decodeMessage(encodeMessage(message))).toEqual(message);
});

test.each(['', '{"kind":"seat","to":7,"may":true}', '{"kind":"move","to":"ann","room":"1001-2"}', 'hello', 'null', '[]', '{"kind":"chat"}', '{"kind":"chat","text":7}', '{"kind":"hand","up":"yes"}', '{"kind":"other"}'])(
  'the bytes of %j are no message of the demo', (text) => {
    expect(decodeMessage(new TextEncoder().encode(text).buffer as ArrayBuffer)).toBeUndefined();
    expect(decodeMessage(new Uint8Array([0xff, 0xfe]).buffer)).toBeUndefined();
  });
