// The demo's own messages between members: chat and raised hands, as custom messages. Pure.

/** The command id of the demo's messages. */
export const COMMAND = 10;
/** Characters: a message has at most 1024 bytes, and a character up to four in JSON. */
export const MAX_TEXT = 240;

export type RoomMessage =
  | { kind: 'chat'; text: string }
  | { kind: 'hand'; up: boolean }
  /** Of a new member, who does not know the raised hands. */
  | { kind: 'hello' };

export function encodeMessage(message: RoomMessage): ArrayBuffer {
  return new TextEncoder().encode(JSON.stringify(message)).buffer as ArrayBuffer;
}

/** Undefined: not a message of the demo. */
export function decodeMessage(data: ArrayBuffer): RoomMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('kind' in value)) return undefined;
  if (value.kind === 'chat' && 'text' in value && typeof value.text === 'string') return { kind: 'chat', text: value.text.slice(0, MAX_TEXT) };
  if (value.kind === 'hand' && 'up' in value && typeof value.up === 'boolean') return { kind: 'hand', up: value.up };
  return value.kind === 'hello' ? { kind: 'hello' } : undefined;
}
