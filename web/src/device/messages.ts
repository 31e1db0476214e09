// Messages between a viewer and a device: fragments on the wire, complete messages to the page. See docs/device.md. Pure.

export const COMMAND_ID = 7;
/** Bytes of a fragment: through the server, and on a direct data channel. */
export const ROOM_FRAGMENT = 1024;
export const DIRECT_FRAGMENT = 16 * 1024;
/** Bytes of a command, and of a complete message. */
export const MAX_COMMAND = 16 * 1024;
const MAX_MESSAGE = 64 * 1024;
const PROTOCOL = 1;
/** How many messages of one sender may be incomplete, and for how many milliseconds. */
const MAX_OPEN = 16;
const PATIENCE = 10_000;

export type Json = Record<string, unknown>;

export interface Message {
  json: Json;
  binary: Uint8Array;
}

export function write({ json, binary }: Message): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const bytes = new Uint8Array(2 + text.length + binary.length);
  if (text.length > 0xffff || bytes.length > MAX_MESSAGE) throw new Error('The message is too large.');
  new DataView(bytes.buffer).setUint16(0, text.length);
  bytes.set(text, 2);
  bytes.set(binary, 2 + text.length);
  return bytes;
}

/** Undefined if the bytes are not a message. */
export function read(bytes: Uint8Array): Message | undefined {
  if (bytes.length < 2) return undefined;
  const end = 2 + new DataView(bytes.buffer, bytes.byteOffset).getUint16(0);
  if (bytes.length < end) return undefined;
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(2, end)));
    return typeof json === 'object' && json !== null ? { json: json as Json, binary: bytes.slice(end) } : undefined;
  } catch {
    return undefined;
  }
}

/** A written message for a user in fragments of at most `size` bytes. */
export function cut(message: Uint8Array, to: string, number: number, size: number): Uint8Array<ArrayBuffer>[] {
  const user = new TextEncoder().encode(to);
  const header = 10 + user.length;
  const piece = size - header;
  const count = Math.ceil(message.length / piece);
  return Array.from({ length: count }, (_, index) => {
    const part = message.subarray(index * piece, (index + 1) * piece);
    const bytes = new Uint8Array(header + part.length);
    const view = new DataView(bytes.buffer);
    bytes.set([PROTOCOL, user.length]);
    bytes.set(user, 2);
    view.setUint32(2 + user.length, number);
    view.setUint16(6 + user.length, index);
    view.setUint16(8 + user.length, count);
    bytes.set(part, header);
    return bytes;
  });
}

interface Open {
  since: number;
  count: number;
  pieces: Map<number, Uint8Array>;
}

/** Reassembles the fragments for one user. */
export class Assembler {
  private readonly open = new Map<string, Open>();

  constructor(private readonly own: string) {}

  /** The message that this fragment completes. */
  take(now: number, from: string, bytes: Uint8Array): Message | undefined {
    for (const [key, { since }] of this.open) if (now - since > PATIENCE) this.open.delete(key);
    if (bytes.length < 2 || bytes[0] !== PROTOCOL) return undefined;
    const length = bytes[1] ?? 0;
    const header = 10 + length;
    if (bytes.length <= header || new TextDecoder().decode(bytes.subarray(2, 2 + length)) !== this.own) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const [number, index, count] = [view.getUint32(2 + length), view.getUint16(6 + length), view.getUint16(8 + length)];
    if (index >= count) return undefined;
    const piece = bytes.slice(header);
    if (count === 1) return read(piece);
    const key = `${from} ${number}`;
    const open = this.open.get(key) ?? { since: now, count, pieces: new Map<number, Uint8Array>() };
    this.open.set(key, open);
    if (open.count !== count) return undefined;
    open.pieces.set(index, piece);
    const total = [...open.pieces.values()].reduce((sum, part) => sum + part.length, 0);
    if (open.pieces.size < count && total <= MAX_MESSAGE) {
      const [oldest] = this.open.keys();
      if (this.open.size > MAX_OPEN && oldest) this.open.delete(oldest);
      return undefined;
    }
    this.open.delete(key);
    if (total > MAX_MESSAGE) return undefined;
    const whole = new Uint8Array(total);
    let at = 0;
    for (let part = 0; part < count; part += 1) {
      const bytesOfPart = open.pieces.get(part) ?? new Uint8Array();
      whole.set(bytesOfPart, at);
      at += bytesOfPart.length;
    }
    return read(whole);
  }
}
