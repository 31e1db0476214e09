// The demo's own messages between members: chat, raised hands, seats and breakout rooms, as custom messages. Pure.

/** The command id of the demo's messages. */
export const COMMAND = 10;
/** Characters: a message has at most 1024 bytes, with up to two names, and a character has up to three. */
export const MAX_TEXT = 240;

export type RoomMessage =
  | { kind: 'chat'; text: string }
  /** To a new member: a message from before. */
  | { kind: 'past'; to: string; from: string; text: string }
  | { kind: 'hand'; up: boolean }
  /** One of the reactions; others are of a newer page. */
  | { kind: 'react'; with: string }
  /** Of a new member, who does not know the raised hands. */
  | { kind: 'hello' }
  /** A member of the audience asks for a seat, or no longer. */
  | { kind: 'ask'; up: boolean }
  /** To a member of the audience: a seat is offered, or refused. Others forget the request. */
  | { kind: 'seat'; to: string; may: boolean }
  /** To the member who has offered a seat. */
  | { kind: 'declined'; to: string }
  /** To a member: go to another room, and come back after these minutes. */
  | { kind: 'move'; to: string; room: string; minutes: number };

/** The fields of each kind, and their types. */
const FIELDS: Record<RoomMessage['kind'], Record<string, 'string' | 'boolean' | 'number'>> = {
  chat: { text: 'string' },
  past: { to: 'string', from: 'string', text: 'string' },
  hand: { up: 'boolean' },
  react: { with: 'string' },
  hello: {},
  ask: { up: 'boolean' },
  seat: { to: 'string', may: 'boolean' },
  declined: { to: 'string' },
  move: { to: 'string', room: 'string', minutes: 'number' },
};
/** Names of rooms and users are not longer. */
const MAX_NAME = 64;

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
  if (typeof value !== 'object' || value === null) return undefined;
  const given = value as Record<string, unknown>;
  const kind = Object.keys(FIELDS).find((known) => known === given['kind']) as RoomMessage['kind'] | undefined;
  if (!kind) return undefined;
  const message: Record<string, unknown> = { kind };
  for (const [field, type] of Object.entries(FIELDS[kind])) {
    const found = given[field];
    if (typeof found !== type) return undefined;
    message[field] = typeof found === 'string' ? found.slice(0, field === 'text' ? MAX_TEXT : MAX_NAME) : found;
  }
  return message as RoomMessage;
}
