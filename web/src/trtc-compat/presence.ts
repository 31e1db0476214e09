// Turns the state of a room into the events that applications of TRTC expect. Pure.

import type { Publisher } from '../sdk/types';
import type { TRTCStreamType } from './constants';

export interface RoomState {
  members: Iterable<string>;
  publishers: Iterable<Publisher>;
}

export type PresenceEvent =
  | { event: 'enter' | 'exit' | 'audio' | 'noAudio'; userId: string }
  | { event: 'video' | 'noVideo'; userId: string; streamType: TRTCStreamType };

/** In the scene `live` an application learns only of the members that send something. */
export class Presence {
  private readonly users = new Set<string>();
  /** `audio`, `main` and `sub` with the user's id. */
  private readonly sources = new Set<string>();

  constructor(private readonly own: string, private readonly scene: 'rtc' | 'live') {}

  /** Exits follow the end of the member's sources, entries come before their beginning. */
  update({ members, publishers }: RoomState): PresenceEvent[] {
    const present = new Set<string>();
    const users = new Set<string>();
    const sources = new Set<string>();
    for (const userId of members) present.add(userId);
    for (const { userId, audio, camera, screen } of publishers) {
      present.add(userId);
      users.add(userId);
      if (audio === 'on') sources.add(`audio ${userId}`);
      if (camera === 'on') sources.add(`main ${userId}`);
      if (screen === 'on') sources.add(`sub ${userId}`);
    }
    // A member who has stopped sending stays known until they leave.
    for (const userId of present) if (this.scene === 'rtc' || this.users.has(userId)) users.add(userId);
    users.delete(this.own);
    for (const source of [...sources]) if (source.endsWith(` ${this.own}`)) sources.delete(source);
    const events = [
      ...missing(this.sources, sources).map((source) => sourceEvent(source, false)),
      ...missing(this.users, users).map((userId): PresenceEvent => ({ event: 'exit', userId })),
      ...missing(users, this.users).map((userId): PresenceEvent => ({ event: 'enter', userId })),
      ...missing(sources, this.sources).map((source) => sourceEvent(source, true)),
    ];
    replace(this.users, users);
    replace(this.sources, sources);
    return events;
  }

  sends(userId: string, source: 'audio' | TRTCStreamType): boolean {
    return this.sources.has(`${source} ${userId}`);
  }
}

function sourceEvent(source: string, begins: boolean): PresenceEvent {
  const [kind = '', userId = ''] = source.split(' ');
  if (kind === 'audio') return { event: begins ? 'audio' : 'noAudio', userId };
  return { event: begins ? 'video' : 'noVideo', userId, streamType: kind === 'sub' ? 'sub' : 'main' };
}

/** Those of the first set that the second one does not have. */
function missing(from: Set<string>, to: Set<string>): string[] {
  return [...from].filter((one) => !to.has(one));
}

function replace(set: Set<string>, by: Set<string>): void {
  set.clear();
  for (const one of by) set.add(one);
}
