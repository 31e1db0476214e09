// Which messages go into which frame, and which have arrived already. Pure.

import type { Message } from './sei';

/** Frames of a layer that come later than this do not have it any more: nobody waits for it. */
const KEPT_MS = 2000;
/** Messages that are remembered of a track. */
const REMEMBERED = 256;

/** The messages of one sender. Each is in the next frame of every layer, because a viewer gets only one of them. */
export class Outgoing {
  private readonly messages: (Message & { at: number; sent: Set<number> })[] = [];

  add(message: Message, now: number): void {
    this.forget(now);
    this.messages.push({ ...message, at: now, sent: new Set() });
  }

  /** For a frame of this layer. */
  take(layer: number, now: number): Message[] {
    this.forget(now);
    return this.messages.filter(({ sent }) => {
      const isNew = !sent.has(layer);
      sent.add(layer);
      return isNew;
    });
  }

  private forget(now: number): void {
    while (this.messages[0] && now - this.messages[0].at > KEPT_MS) this.messages.shift();
  }
}

/** After a change of the layer a message may come once more. */
export class Incoming {
  private readonly seen: number[] = [];

  /** Those that are new. */
  take(messages: Message[]): Message[] {
    return messages.filter(({ number }) => {
      if (this.seen.includes(number)) return false;
      this.seen.push(number);
      if (this.seen.length > REMEMBERED) this.seen.shift();
      return true;
    });
  }
}
