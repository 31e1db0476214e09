// Keeps the tracks that the member wants to send, before the room is entered and after it has been left, as TRTC does.

import type { Publishing } from '../sdk/local_media';
import type { Source } from '../sdk/types';

interface Item {
  track: MediaStreamTrack;
  muted: boolean;
  /** The application has started it with `publish: false`. */
  held: boolean;
}

export interface OutboxEvents {
  starting: (source: Source) => void;
  started: (source: Source) => void;
  stopped: (source: Source, error?: unknown) => void;
}

export class Outbox implements Publishing {
  private readonly items = new Map<Source, Item>();
  private readonly held = new Set<Source>();
  private room?: Publishing;

  constructor(private readonly tell: OutboxEvents) {}

  /** Begins to send everything that is wanted. A refusal is told by `stopped`; the other sources are sent. */
  async enter(room: Publishing): Promise<void> {
    this.room = room;
    for (const source of [...this.items.keys()]) await this.send(source).catch(() => {});
  }

  exit(): void {
    const { room } = this;
    this.room = undefined;
    if (!room) return;
    for (const [source, { held }] of this.items) if (!held) this.tell.stopped(source);
  }

  /** Takes effect at once, for a source that has been started, too. */
  async hold(source: Source, held: boolean): Promise<void> {
    if (held) this.held.add(source);
    else this.held.delete(source);
    const item = this.items.get(source);
    if (!item || item.held === held) return;
    item.held = held;
    if (!held) await this.send(source);
    else if (this.room?.isPublishing(source)) {
      await this.room.unpublish(source);
      this.tell.stopped(source);
    }
  }

  async publish(source: Source, track: MediaStreamTrack): Promise<void> {
    const muted = this.items.get(source)?.muted ?? false;
    this.items.set(source, { track, muted, held: this.held.has(source) });
    try {
      await this.send(source);
    } catch (error) {
      this.items.delete(source);
      throw error;
    }
  }

  async unpublish(source: Source): Promise<void> {
    const item = this.items.get(source);
    this.items.delete(source);
    if (!this.room?.isPublishing(source)) return;
    await this.room.unpublish(source);
    if (item) this.tell.stopped(source);
  }

  async mute(source: Source, muted: boolean): Promise<void> {
    const item = this.items.get(source);
    if (!item) return;
    item.muted = muted;
    item.track.enabled = !muted;
    if (this.room?.isPublishing(source)) await this.room.mute(source, muted);
  }

  /** Whether it is kept here: it is then sent in every room. */
  isPublishing(source: Source): boolean {
    return this.items.has(source);
  }

  private async send(source: Source): Promise<void> {
    const { room } = this;
    const item = this.items.get(source);
    if (!room || !item || item.held) return;
    const isNew = !room.isPublishing(source);
    if (isNew) this.tell.starting(source);
    try {
      await room.publish(source, item.track);
      if (isNew && item.muted) await room.mute(source, true);
    } catch (error) {
      this.tell.stopped(source, error);
      throw error;
    }
    if (isNew) this.tell.started(source);
  }
}
