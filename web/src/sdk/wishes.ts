// Decides which videos to request: of all publishers, up to the limits, and stable. Pure.

import type { Publisher, Slot } from './types';

/** At most four cameras, three while sending one, and one screen, in the order of publishing. */
export function wantedVideos(publishers: Iterable<Publisher>, sendsCamera: boolean): Slot[] {
  const all = [...publishers];
  const cameras = all.filter(({ camera }) => camera).slice(0, sendsCamera ? 3 : 4);
  const screens = all.filter(({ screen }) => screen).slice(0, 1);
  return [
    ...cameras.map(({ userId }): Slot => ({ userId, source: 'camera' })),
    ...screens.map(({ userId }): Slot => ({ userId, source: 'screen' })),
  ];
}

/** The requests and cancellations that lead from one list to the other. */
export function difference(have: Slot[], want: Slot[]): { request: Slot[]; cancel: Slot[] } {
  const has = (list: Slot[], slot: Slot) => list.some((one) => one.userId === slot.userId && one.source === slot.source);
  return { request: want.filter((slot) => !has(have, slot)), cancel: have.filter((slot) => !has(want, slot)) };
}
