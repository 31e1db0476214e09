import { describe, expect, test } from 'vitest';
import { Encryptor, KeyRing, clearBytes, decryptFrame } from './frames';

const base = (byte: number) => new Uint8Array(16).fill(byte).buffer;
const frame = (...bytes: number[]) => new Uint8Array([...bytes, ...new Array<number>(40).fill(7)]).buffer;
const KEYFRAME = frame(0x10);
const DELTA = frame(0x11);

function ring(keys: Record<number, number>, sending?: number): KeyRing {
  const made = new KeyRing();
  for (const [index, byte] of Object.entries(keys)) made.set(Number(index), base(byte));
  made.sending = sending;
  return made;
}

const decrypted = (result: Awaited<ReturnType<typeof decryptFrame>>) => ('frame' in result ? new Uint8Array(result.frame) : result.failure);

describe('an encrypted frame', () => {
  test('keeps the bytes that servers read, and nothing else', async () => {
    const sent = new Uint8Array((await new Encryptor(ring({ 0: 1 }, 0), 'video').encrypt(KEYFRAME))!);
    const plain = new Uint8Array(KEYFRAME);
    expect(sent.subarray(0, 10)).toEqual(plain.subarray(0, 10));
    expect(sent.length).toBeGreaterThan(plain.length + 16);
    expect(sent.join().includes(plain.subarray(10).join())).toBe(false);
  });

  test.each([['video', KEYFRAME], ['video', DELTA], ['audio', frame(0x78)]] as const)('of %s is decrypted by a member with the key', async (kind, plain) => {
    const sent = (await new Encryptor(ring({ 0: 1 }, 0), kind).encrypt(plain))!;
    expect(decrypted(await decryptFrame(ring({ 0: 1 }), kind, sent))).toEqual(new Uint8Array(plain));
  });

  test('is not decrypted with a wrong key, without one, or when it was not encrypted', async () => {
    const sent = (await new Encryptor(ring({ 0: 1 }, 0), 'video').encrypt(DELTA))!;
    expect(decrypted(await decryptFrame(ring({ 0: 2 }), 'video', sent))).toBe('wrong_key');
    expect(decrypted(await decryptFrame(ring({ 1: 1 }), 'video', sent))).toBe('missing_key');
    expect(decrypted(await decryptFrame(ring({ 7: 1 }), 'video', DELTA))).toMatch(/key/);
    expect(decrypted(await decryptFrame(ring({ 7: 1 }), 'audio', new ArrayBuffer(0)))).toBe('missing_key');
  });

  test('two senders with the same key never use the same nonce', async () => {
    const keys = ring({ 0: 1 }, 0);
    const [one, other] = [new Encryptor(keys, 'video'), new Encryptor(keys, 'video')];
    const [first, second, third] = await Promise.all([one.encrypt(DELTA), one.encrypt(DELTA), other.encrypt(DELTA)]);
    const texts = [first, second, third].map((sent) => new Uint8Array(sent!).join());
    expect(new Set(texts).size).toBe(3);
  });
});

test('without a key nothing is sent, and a removed key is no longer used', async () => {
  const keys = ring({ 0: 1 });
  const encryptor = new Encryptor(keys, 'video');
  expect(await encryptor.encrypt(DELTA)).toBeUndefined();
  keys.sending = 0;
  expect(await encryptor.encrypt(DELTA)).toBeDefined();
  keys.remove(0);
  expect(await encryptor.encrypt(DELTA)).toBeUndefined();
});

test('members change to the next key while frames of the last one arrive', async () => {
  const sender = ring({ 0: 1, 1: 2 }, 0);
  const encryptor = new Encryptor(sender, 'audio');
  const old = (await encryptor.encrypt(DELTA))!;
  sender.sending = 1;
  const fresh = (await encryptor.encrypt(DELTA))!;
  const viewer = ring({ 0: 1, 1: 2 });
  expect(decrypted(await decryptFrame(viewer, 'audio', fresh))).toEqual(new Uint8Array(DELTA));
  expect(decrypted(await decryptFrame(viewer, 'audio', old))).toEqual(new Uint8Array(DELTA));
});

test('an empty frame has no clear bytes', () => {
  expect(clearBytes('video', new Uint8Array())).toBe(0);
  expect(clearBytes('audio', new Uint8Array())).toBe(0);
});
