// What a screen gets, and what it is: an element that follows the API until the next screen.

import { Api, ApiError } from './api';
import { replace } from './dom';
import { Poll } from './poll';
import { problem } from './ui';
import type { Session } from './types';

/** How often what happens now is read again, and what seldom changes. */
export const OFTEN = 3000;
export const SELDOM = 15_000;

export class Context {
  private readonly ends: (() => void)[] = [];

  constructor(
    readonly api: Api,
    readonly session: Session,
    /** The parts of the address after the screen's name. */
    readonly path: string[],
    readonly query: URLSearchParams,
    /** The session may open other applications now. */
    readonly refresh: () => void,
  ) {}

  onLeave(end: () => void): void {
    this.ends.push(end);
  }

  leave(): void {
    for (const end of this.ends.splice(0)) end();
  }

  /** Reads again and again; an error is shown in `place` until it is over. */
  follow(load: () => Promise<void>, place: Element, interval = OFTEN): Poll {
    let shown = '';
    const poll = new Poll(async () => {
      try {
        await load();
        if (shown) replace(place);
        shown = '';
      } catch (error) {
        const text = error instanceof ApiError ? `${error.status} ${error.code} ${error.message}` : String(error);
        if (text !== shown) replace(place, problem(error, () => poll.now()));
        shown = text;
        throw error;
      }
    }, interval);
    this.onLeave(() => poll.stop());
    return poll;
  }

  may(scope: string): boolean {
    return this.session.scopes.includes(scope);
  }
}

export type Screen = (context: Context) => HTMLElement;

export const address = (...parts: string[]) => `#/${parts.map(encodeURIComponent).join('/')}`;
