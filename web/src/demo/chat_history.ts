// Earlier messages for those who come later: the first by name of those who have any tells them. Pure.

import type { RoomMessage } from './room_messages';

/** Messages that are kept and told. */
const KEPT = 20;
/** Earlier messages are taken for so long after entering. */
const TAKEN_MS = 15_000;
const MOST_RANK = 10;

export interface Said { from: string; text: string }

export class ChatHistory {
  private readonly said: Said[] = [];
  /** Who has told the earlier messages: only one is listened to. */
  private teller?: string;
  /** New members who have been told. */
  private readonly told = new Set<string>();

  /** `entered`: when this member has entered. */
  constructor(private readonly self: string, private readonly entered: number) {}

  add(message: Said): void {
    this.said.push(message);
    if (this.said.length > KEPT) this.said.shift();
  }

  /** After how many others this member tells a new one the messages, if none of them does: their place by name. */
  rank(newcomer: string, members: Iterable<string>): number {
    this.told.delete(newcomer);
    return Math.min(MOST_RANK, [...new Set([...members, this.self])].filter((userId) => userId !== newcomer && userId < this.self).length);
  }

  /** Somebody tells a new member the messages. */
  noteTold(newcomer: string): void {
    this.told.add(newcomer);
  }

  /** What this member tells a new one, when it is their turn. */
  tell(newcomer: string): RoomMessage[] {
    if (this.told.has(newcomer)) return [];
    return this.said.map(({ from, text }) => ({ kind: 'past', to: newcomer, from, text }));
  }

  /** Whether an earlier message is shown: right after entering, and of one teller. */
  takes(teller: string, to: string, now: number): boolean {
    if (to !== this.self || now - this.entered > TAKEN_MS) return false;
    this.teller ??= teller;
    return this.teller === teller;
  }
}
