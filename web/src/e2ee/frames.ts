// Encrypts and decrypts encoded frames, except for the bytes that packetizers and servers read. Runs in the worker.

import { decodeHeader, decrypt, derive, encrypt, join, type DerivedKey } from './sframe';

export type Kind = 'audio' | 'video';

/** The key id is the index of the base key, below the sender's own random number. */
const INDEX_BITS = 8n;
const SENDER_BYTES = 5;
/** Derived keys that are kept, so that forged key ids fill no memory. */
const MAX_DERIVED = 256;

/** Base keys by index, and what was derived of them. */
export class KeyRing {
  private readonly bases = new Map<number, ArrayBuffer>();
  private readonly derived = new Map<bigint, DerivedKey>();
  /** The index of the key to encrypt with. */
  sending?: number;

  set(index: number, base: ArrayBuffer): void {
    this.bases.set(index, base);
    this.forget(index);
  }

  remove(index: number): void {
    this.bases.delete(index);
    this.forget(index);
    if (this.sending === index) this.sending = undefined;
  }

  /** Undefined: there is no such key. */
  async get(kid: bigint): Promise<DerivedKey | undefined> {
    const known = this.derived.get(kid);
    if (known) return known;
    const base = this.bases.get(indexOf(kid));
    if (!base) return undefined;
    const derived = await derive(base, kid);
    // The key may have been replaced meanwhile.
    if (this.bases.get(indexOf(kid)) !== base) return this.get(kid);
    if (this.derived.size >= MAX_DERIVED) this.derived.delete(this.derived.keys().next().value ?? kid);
    this.derived.set(kid, derived);
    return derived;
  }

  private forget(index: number): void {
    for (const kid of [...this.derived.keys()]) if (indexOf(kid) === index) this.derived.delete(kid);
  }
}

function indexOf(kid: bigint): number {
  return Number(kid & ((1n << INDEX_BITS) - 1n));
}

/** Encrypts the frames of one sender. Its number and its count make each nonce unique, although all members have the same key. */
export class Encryptor {
  private counter = 0n;
  private readonly sender: bigint;

  constructor(private readonly keys: KeyRing, private readonly kind: Kind, random = crypto.getRandomValues(new Uint8Array(SENDER_BYTES))) {
    this.sender = random.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  /** Undefined: there is no key yet, and the frame must not be sent. */
  async encrypt(frame: ArrayBuffer): Promise<ArrayBuffer | undefined> {
    const { sending } = this.keys;
    if (sending === undefined) return undefined;
    const kid = (this.sender << INDEX_BITS) | BigInt(sending);
    const counter = this.counter;
    this.counter += 1n;
    const key = await this.keys.get(kid);
    if (!key) return undefined;
    const bytes = new Uint8Array(frame);
    const clear = bytes.subarray(0, clearBytes(this.kind, bytes));
    return join([clear, await encrypt(key, kid, counter, clear, bytes.subarray(clear.length))]).buffer;
  }
}

export type Decrypted = { frame: ArrayBuffer } | { failure: 'missing_key' | 'wrong_key' };

export async function decryptFrame(keys: KeyRing, kind: Kind, frame: ArrayBuffer): Promise<Decrypted> {
  const bytes = new Uint8Array(frame);
  const clear = bytes.subarray(0, clearBytes(kind, bytes));
  const sframe = bytes.subarray(clear.length);
  const header = decodeHeader(sframe);
  const key = header && await keys.get(header.kid);
  if (!key || !header) return { failure: 'missing_key' };
  try {
    return { frame: join([clear, new Uint8Array(await decrypt(key, header, clear, sframe))]).buffer };
  } catch {
    return { failure: 'wrong_key' };
  }
}

/**
 * Bytes that stay readable: the first of Opus (RFC 6716 section 3.1), and the uncompressed header of VP8 (RFC 6386 section 9.1),
 * which is 10 bytes in a keyframe (its lowest bit is 0) and 3 in others. Servers find keyframes and sizes in it.
 */
export function clearBytes(kind: Kind, frame: Uint8Array): number {
  if (kind === 'audio') return Math.min(1, frame.length);
  const isKeyframe = ((frame[0] ?? 1) & 1) === 0;
  return Math.min(isKeyframe ? 10 : 3, frame.length);
}
