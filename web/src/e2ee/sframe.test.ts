import { expect, test } from 'vitest';
import { decodeHeader, decrypt, derive, encodeHeader, encrypt } from './sframe';

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (data: ArrayBuffer | Uint8Array) => [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, '0')).join('');

// RFC 9605, appendix C.3, cipher suite 4.
const vector = {
  kid: 0x123n,
  counter: 0x4567n,
  baseKey: bytes('000102030405060708090a0b0c0d0e0f'),
  salt: '75234edefe07819026751816',
  metadata: bytes('4945544620534672616d65205747'),
  plaintext: bytes('64726166742d696574662d736672616d652d656e63'),
  ciphertext: '9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb',
};

test('a frame is encrypted and decrypted as in the test vector of the RFC', async () => {
  const key = await derive(vector.baseKey.buffer, vector.kid);
  expect(hex(key.salt)).toBe(vector.salt);
  const sframe = await encrypt(key, vector.kid, vector.counter, vector.metadata, vector.plaintext);
  expect(hex(sframe)).toBe(vector.ciphertext);
  const header = decodeHeader(sframe);
  expect(header).toEqual({ kid: vector.kid, counter: vector.counter, length: 5 });
  expect(hex(await decrypt(key, header!, vector.metadata, sframe))).toBe(hex(vector.plaintext));
});

test('a changed frame, changed clear bytes and a wrong key are refused', async () => {
  const key = await derive(vector.baseKey.buffer, vector.kid);
  const sframe = bytes(vector.ciphertext);
  const header = decodeHeader(sframe)!;
  await expect(decrypt(key, header, bytes('00'), sframe)).rejects.toThrow();
  const other = await derive(bytes('ff'.repeat(16)).buffer, vector.kid);
  await expect(decrypt(other, header, vector.metadata, sframe)).rejects.toThrow();
  sframe[10] = sframe[10]! ^ 1;
  await expect(decrypt(key, header, vector.metadata, sframe)).rejects.toThrow();
});

// RFC 9605, appendix C.1.
test.each([
  [0n, 0n, '00'], [0n, 7n, '07'], [0n, 8n, '0808'], [7n, 0n, '70'], [8n, 0n, '8008'], [0xffn, 0xffffn, '89ffffff'],
  [0x10000n, 0xffn, 'a8010000ff'], [0xffffffffffffffffn, 0xffffffffffffffffn, `ff${'ff'.repeat(16)}`],
])('the header of key id %s and counter %s is %s', (kid, counter, encoded) => {
  expect(hex(encodeHeader(kid, counter))).toBe(encoded);
  expect(decodeHeader(bytes(encoded))).toEqual({ kid, counter, length: encoded.length / 2 });
});

test('a header that is cut off is none', () => {
  expect(decodeHeader(bytes(''))).toBeUndefined();
  expect(decodeHeader(bytes('ff00'))).toBeUndefined();
});
