// SFrame (RFC 9605) with AES_128_GCM_SHA256_128, cipher suite 4. Pure, except for Web Crypto.

const SUITE = 4;
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
export const TAG_BYTES = 16;

/** The keys that are derived of a base key for one key id (section 4.4.2). */
export interface DerivedKey {
  key: CryptoKey;
  salt: Uint8Array;
}

export interface Header {
  kid: bigint;
  counter: bigint;
  /** Bytes of the header. */
  length: number;
}

const ascii = (text: string) => new TextEncoder().encode(text);

export async function derive(baseKey: ArrayBuffer, kid: bigint): Promise<DerivedKey> {
  const secret = await crypto.subtle.importKey('raw', baseKey, 'HKDF', false, ['deriveBits']);
  // HKDF-Extract has an empty salt; the info of HKDF-Expand is the label with the key id and the cipher suite.
  const expand = (label: string, bytes: number) => crypto.subtle.deriveBits({
    name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: join([ascii(label), integer(kid, 8), integer(BigInt(SUITE), 2)]),
  }, secret, bytes * 8);
  const [key, salt] = await Promise.all([expand('SFrame 1.0 Secret key ', KEY_BYTES), expand('SFrame 1.0 Secret salt ', NONCE_BYTES)]);
  return {
    key: await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']),
    salt: new Uint8Array(salt),
  };
}

/** Header and ciphertext. `clear` is authenticated and not part of the result. A counter may be used once only with a key. */
export async function encrypt(
  { key, salt }: DerivedKey, kid: bigint, counter: bigint, clear: Uint8Array, plaintext: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const header = encodeHeader(kid, counter);
  const parameters = { name: 'AES-GCM', iv: nonce(salt, counter), additionalData: join([header, clear]), tagLength: TAG_BYTES * 8 };
  return join([header, new Uint8Array(await crypto.subtle.encrypt(parameters, key, plaintext))]);
}

/** The plaintext. Rejects if the key is wrong, or the frame or `clear` was changed. */
export async function decrypt({ key, salt }: DerivedKey, { counter, length }: Header, clear: Uint8Array, sframe: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const additionalData = join([sframe.subarray(0, length), clear]);
  return crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: nonce(salt, counter), additionalData, tagLength: TAG_BYTES * 8 }, key, sframe.subarray(length));
}

/** Section 4.3: each of key id and counter is in the first byte if it is under 8, and in the shortest number of bytes otherwise. */
export function encodeHeader(kid: bigint, counter: bigint): Uint8Array<ArrayBuffer> {
  const [kidBits, kidBytes] = headerPart(kid);
  const [counterBits, counterBytes] = headerPart(counter);
  return join([new Uint8Array([(kidBits << 4) | counterBits]), kidBytes, counterBytes]);
}

/** Undefined: too short for an SFrame header. */
export function decodeHeader(bytes: Uint8Array): Header | undefined {
  const first = bytes[0];
  if (first === undefined) return undefined;
  const kidLength = first & 0x80 ? ((first >> 4) & 7) + 1 : 0;
  const counterLength = first & 0x08 ? (first & 7) + 1 : 0;
  const length = 1 + kidLength + counterLength;
  if (bytes.length < length) return undefined;
  return {
    kid: kidLength ? number(bytes.subarray(1, 1 + kidLength)) : BigInt((first >> 4) & 7),
    counter: counterLength ? number(bytes.subarray(1 + kidLength, length)) : BigInt(first & 7),
    length,
  };
}

function headerPart(value: bigint): [bits: number, bytes: Uint8Array<ArrayBuffer>] {
  if (value < 8n) return [Number(value), new Uint8Array()];
  let length = 1;
  while (value >> BigInt(8 * length)) length += 1;
  return [8 | (length - 1), integer(value, length)];
}

function nonce(salt: Uint8Array, counter: bigint): Uint8Array<ArrayBuffer> {
  return integer(counter, NONCE_BYTES).map((byte, index) => byte ^ (salt[index] ?? 0));
}

/** Big-endian. */
function integer(value: bigint, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let index = length - 1, rest = value; index >= 0; index -= 1, rest >>= 8n) bytes[index] = Number(rest & 0xffn);
  return bytes;
}

function number(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

export function join(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
