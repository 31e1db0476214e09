// Members' own messages on data channels: the bytes of both directions, the same as in proto/src/custom_message.rs. Pure.

import { RotundaError } from './types';

export const ORDERED = 'custom-message';
export const UNORDERED = 'custom-message-unordered';
/** Bytes. */
const MAX_DATA = 1024;
const MAX_COMMAND = 10;
const MESSAGE = 1;
const REFUSED = 2;

export interface CustomMessage {
  userId: string;
  /** 1 to 10; the application defines the meaning. */
  cmdId: number;
  /** Counts the sender's messages. */
  seq: number;
  data: ArrayBuffer;
}

const texts: Record<string, string> = {
  bad_custom_message: `A message needs a cmdId of 1 to ${MAX_COMMAND}.`,
  custom_message_too_large: `A message has at most ${MAX_DATA} bytes.`,
  custom_message_rate: 'At most 30 messages per second; this one reached nobody.',
  custom_message_busy: 'Too many messages wait in this room; this one reached nobody.',
};

function refusal(code: string): RotundaError {
  return new RotundaError(code, texts[code] ?? 'The message was refused.');
}

/** On signaling the data is base64. */
export function toBase64(data: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(data)));
}

export function fromBase64(text: string): ArrayBuffer {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
}

/** The bytes to send. Throws a {@link RotundaError} if the server would refuse the message. */
export function encode(cmdId: number, data: ArrayBuffer): Uint8Array<ArrayBuffer> {
  if (!Number.isInteger(cmdId) || cmdId < 1 || cmdId > MAX_COMMAND) throw refusal('bad_custom_message');
  if (data.byteLength > MAX_DATA) throw refusal('custom_message_too_large');
  const bytes = new Uint8Array(1 + data.byteLength);
  bytes[0] = cmdId;
  bytes.set(new Uint8Array(data), 1);
  return bytes;
}

/** A received message, or the reason why an own message reached nobody; undefined for kinds that only newer servers send. */
export function decode(bytes: ArrayBuffer): CustomMessage | RotundaError | undefined {
  const view = new DataView(bytes);
  const text = (from: number, to?: number) => new TextDecoder().decode(bytes.slice(from, to));
  if (view.byteLength > 0 && view.getUint8(0) === REFUSED) return refusal(text(1));
  if (view.byteLength < 7 || view.getUint8(0) !== MESSAGE) return undefined;
  const end = 7 + view.getUint8(6);
  if (view.byteLength < end) return undefined;
  return { userId: text(7, end), cmdId: view.getUint8(1), seq: view.getUint32(2), data: bytes.slice(end) };
}
