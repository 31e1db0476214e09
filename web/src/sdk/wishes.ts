// Decides which videos to request: of all publishers, up to the limits, and stable. Pure.

import type { Publisher, Slot } from './types';

/** The videos that the application has chosen. */
export interface Choice {
  /** Request the videos of all publishers, not only those that are preferred. */
  all: boolean;
  /** Come before the others, in this order. */
  preferred: Slot[];
  excluded: Slot[];
}

/** At most four cameras, three while sending one, and one screen, in the order of publishing. */
export function limitOf(source: Slot['source'], sendsCamera: boolean): number {
  if (source === 'screen') return 1;
  return sendsCamera ? 3 : 4;
}

export function wantedVideos(
  publishers: Iterable<Publisher>,
  sendsCamera: boolean,
  { all, preferred, excluded }: Choice = { all: true, preferred: [], excluded: [] },
): Slot[] {
  const known = [...publishers];
  const present = (source: 'camera' | 'screen') => {
    const published = known.filter((one) => one[source]).map(({ userId }): Slot => ({ userId, source }));
    const first = preferred.filter((slot) => has(published, slot));
    const rest = all ? published.filter((slot) => !has(first, slot) && !has(excluded, slot)) : [];
    return [...first, ...rest].slice(0, limitOf(source, sendsCamera));
  };
  return [...present('camera'), ...present('screen')];
}

/** The requests and cancellations that lead from one list to the other. */
export function difference(have: Slot[], want: Slot[]): { request: Slot[]; cancel: Slot[] } {
  return { request: want.filter((slot) => !has(have, slot)), cancel: have.filter((slot) => !has(want, slot)) };
}

export function isSame(one: Slot, other: Slot): boolean {
  return one.userId === other.userId && one.source === other.source;
}

function has(list: Slot[], slot: Slot): boolean {
  return list.some((one) => isSame(one, slot));
}
