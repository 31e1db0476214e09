// The videos that are requested of the server: those of all publishers up to the limits, and those that the application has chosen.

import type { Signaling } from './signaling';
import { RotundaError, type Publisher, type ServerEvent, type Slot } from './types';
import { difference, isSame, limitOf, wantedVideos, type Choice } from './wishes';

/** The state of the room on which the requests depend. */
export interface Surroundings {
  /** All but this member. */
  others(): Publisher[];
  sendsCamera(): boolean;
}

export class VideoRequests {
  private readonly choice: Choice;
  private asked: Slot[] = [];
  /** Pixels, by member and source. */
  private readonly heights = new Map<string, number>();
  private wishes: Promise<void> = Promise.resolve();

  constructor(private readonly signaling: Pick<Signaling, 'request'>, all: boolean, private readonly room: Surroundings) {
    this.choice = { all, preferred: [], excluded: [] };
  }

  async request(slot: Slot, maxHeight?: number): Promise<void> {
    const { preferred, all } = this.choice;
    const others = preferred.filter((one) => !isSame(one, slot));
    const limit = limitOf(slot.source, this.room.sendsCamera());
    const publishers = new Map(this.room.others().map((publisher) => [publisher.userId, publisher]));
    const present = others.filter(({ userId, source }) => source === slot.source && publishers.get(userId)?.[source]);
    if (!all && present.length >= limit) {
      throw new RotundaError('too_many_video_requests', `At most ${limit} videos of this kind arrive at once. Cancel another one first.`);
    }
    this.choice.preferred = all ? [slot, ...others] : [...others, slot];
    this.choice.excluded = this.choice.excluded.filter((one) => !isSame(one, slot));
    await this.limitHeight(slot, maxHeight);
    this.update();
    await this.wishes;
  }

  async cancel(slot: Slot): Promise<void> {
    this.choice.preferred = this.choice.preferred.filter((one) => !isSame(one, slot));
    this.choice.excluded = [...this.choice.excluded.filter((one) => !isSame(one, slot)), slot];
    this.heights.delete(nameOf(slot));
    this.update();
    await this.wishes;
  }

  release(slot: Slot): void {
    this.choice.preferred = this.choice.preferred.filter((one) => !isSame(one, slot));
    this.update();
  }

  async limitHeight(slot: Slot, maxHeight?: number): Promise<void> {
    if (maxHeight === undefined) this.heights.delete(nameOf(slot));
    else this.heights.set(nameOf(slot), maxHeight);
    if (this.asked.some((one) => isSame(one, slot))) {
      const { userId, source } = slot;
      await this.signaling.request('requestVideo', { userId, source, maxHeight });
    }
  }

  /** The server knows of no request any more. */
  forget(): void {
    this.asked = [];
  }

  /** The server has dropped the requests of sources that have ended; they may begin again before another request is answered. */
  handlePublishing(event: Extract<ServerEvent, { event: 'publishing' }>): void {
    this.asked = this.asked.filter((slot) => slot.userId !== event.userId || event[slot.source]);
    this.update();
  }

  /**
   * Requests the wanted videos that have not been requested yet, or must be requested `again`. Changes follow one another, so
   * that the limits are never exceeded in between.
   */
  update(again = false): void {
    this.wishes = this.wishes.then(async () => {
      const want = wantedVideos(this.room.others(), this.room.sendsCamera(), this.choice);
      const { request, cancel } = difference(this.asked, want);
      this.asked = want;
      for (const slot of cancel) await this.ask('cancelVideo', slot);
      for (const slot of again ? want : request) await this.ask('requestVideo', slot);
    });
  }

  private async ask(op: string, slot: Slot): Promise<void> {
    try {
      await this.signaling.request(op, { ...slot, maxHeight: this.heights.get(nameOf(slot)) });
    } catch {
      // The publisher has just stopped, and its event updates the list. Or the connection is lost.
      if (op === 'cancelVideo') this.asked = [...this.asked, slot];
      else this.asked = this.asked.filter((one) => one !== slot);
    }
  }
}

function nameOf({ source, userId }: Slot): string {
  return `${source} ${userId}`;
}
