// The waiting room in the demo room: the page of a user who waits, and the list of a moderator.

import type { Room } from '../sdk/room';
import type { WaitingRoom, WaitingUser } from '../sdk/types';
import { find } from './find';
import { errorText, t } from './i18n';
import { ask, withdraw } from './prompts';

/** Shows that the user waits, until the returned function ends it. `leave`: they give up. */
export function waitingPage(roomId: number | string, leave: () => void): () => void {
  const page = find('#waiting-page', HTMLElement);
  const time = find('#waiting-time', HTMLElement);
  find('#lobby', HTMLElement).hidden = true;
  find('#waiting-room-name', HTMLElement).textContent = t('waitingTitle', roomId);
  find('#stop-waiting', HTMLButtonElement).onclick = leave;
  page.hidden = false;
  // A screen reader says where the person is.
  find('#waiting-room-name', HTMLElement).focus();
  const since = Date.now();
  const show = () => {
    const waited = minutes(since, Date.now());
    time.textContent = waited > 0 ? t('waitingFor', waited) : '';
  };
  const timer = setInterval(show, 20_000);
  show();
  return () => {
    clearInterval(timer);
    page.hidden = true;
  };
}

/** Whole minutes. Pure. */
export function minutes(sinceUnixMs: number, nowUnixMs: number): number {
  return Math.max(0, Math.floor((nowUnixMs - sinceUnixMs) / 60_000));
}

/** The users of all pages that were read, as they wait now: the server's first ones, and those of the pages after them. Pure. */
export function together({ users, total }: WaitingRoom, more: WaitingUser[]): WaitingUser[] {
  const last = users.at(-1);
  if (users.length >= total || !last) return users;
  const isLater = (one: WaitingUser) => one.sinceUnixMs > last.sinceUnixMs || (one.sinceUnixMs === last.sinceUnixMs && one.userId > last.userId);
  return [...users, ...more.filter(isLater)].slice(0, total);
}

export class WaitingList {
  /** Users after the first ones, as they were when this member asked for them. */
  private more: WaitingUser[] = [];
  private next?: string;
  /** The question above the tiles. */
  private asked = '';
  private readonly drawn = new Map<string, { state: string; item: HTMLElement }>();

  /** `open`: shows the list. `changed`: the number of those who wait. */
  constructor(
    private readonly room: Pick<Room, 'waitingRoom' | 'moderation' | 'on'>,
    private readonly say: (text: string) => void,
    private readonly open: () => void,
    private readonly changed: (count: number) => void,
  ) {
    // Of an earlier stay on this page.
    find('#waiting-list', HTMLElement).replaceChildren();
    withdraw('waiting');
    room.on('waiting-room', () => this.draw());
    const toggle = find('#waiting-on', HTMLInputElement);
    toggle.onchange = () => this.run(room.moderation.setWaitingRoom(toggle.checked), toggle);
    const all = (id: string, run: () => Promise<unknown>) => {
      const button = find(id, HTMLButtonElement);
      button.onclick = () => this.run(run(), button);
    };
    all('#admit-all', () => room.moderation.admit());
    all('#refuse-all', () => room.moderation.refuse());
    all('#more-waiting', () => this.read());
    this.draw();
  }

  private draw(): void {
    const waitingRoom = this.room.waitingRoom;
    find('#waiting', HTMLElement).hidden = !waitingRoom;
    const { required, total } = waitingRoom ?? { required: false, total: 0 };
    find('#waiting-on', HTMLInputElement).checked = required;
    const users = waitingRoom ? together(waitingRoom, this.more) : [];
    find('#waiting-users', HTMLElement).hidden = total === 0;
    find('#waiting-count', HTMLElement).textContent = t('waitingCount', total);
    find('#more-waiting', HTMLElement).hidden = users.length >= total;
    this.drawUsers(users);
    this.prompt(users[0]?.userId, total);
    this.changed(total);
    if (total === 0) [this.more, this.next] = [[], undefined];
  }

  /** Only what has changed is drawn again, so that no button goes from under a finger. */
  private drawUsers(users: WaitingUser[]): void {
    const list = find('#waiting-list', HTMLElement);
    for (const [userId, { item }] of this.drawn) {
      if (users.some((one) => one.userId === userId)) continue;
      const had = item.contains(document.activeElement);
      const beside = (item.nextElementSibling ?? item.previousElementSibling)?.querySelector('button');
      item.remove();
      this.drawn.delete(userId);
      if (had) (beside ?? find('#waiting-on', HTMLElement)).focus();
    }
    users.forEach((user, index) => {
      const state = String(minutes(user.sinceUnixMs, Date.now()));
      const item = this.drawn.get(user.userId)?.item ?? this.item(user.userId);
      const time = item.querySelector('.soft');
      if (time && this.drawn.get(user.userId)?.state !== state) time.textContent = t('waitsFor', state);
      this.drawn.set(user.userId, { state, item });
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
    });
  }

  private item(userId: string): HTMLElement {
    const item = document.createElement('li');
    const name = Object.assign(document.createElement('span'), { textContent: userId });
    const time = Object.assign(document.createElement('span'), { className: 'soft' });
    const acts = Object.assign(document.createElement('div'), { className: 'acts' });
    const button = (text: string, className: string, run: () => Promise<unknown>) => {
      const made = Object.assign(document.createElement('button'), { type: 'button', textContent: text, className });
      made.setAttribute('aria-label', `${text}: ${userId}`);
      made.onclick = () => this.run(run(), made);
      acts.append(made);
    };
    button(t('admit'), 'primary', () => this.room.moderation.admit([userId]));
    button(t('refuse'), '', () => this.room.moderation.refuse([userId]));
    item.append(name, time, acts);
    return item;
  }

  /** One question for all of them, so that ten new people do not cover the tiles. */
  private prompt(first: string | undefined, total: number): void {
    const text = first === undefined ? '' : total === 1 ? t('waits', first) : t('waitTogether', first, total - 1);
    if (text === this.asked) return;
    this.asked = text;
    withdraw('waiting');
    if (first === undefined) return;
    const show = { text: t('showWaiting'), run: () => this.open() };
    const admit = { text: t('admit'), primary: true, run: () => this.run(this.room.moderation.admit([first])) };
    ask('waiting', text, total === 1 ? [admit, show] : [show]);
  }

  private async read(): Promise<void> {
    const page = await this.room.moderation.list(this.next, 100);
    // The first page, or the first one again.
    this.more = [...this.next === undefined ? [] : this.more, ...page.users];
    this.next = page.next;
    this.draw();
  }

  private run(work: Promise<unknown>, control?: HTMLButtonElement | HTMLInputElement): void {
    if (control) control.disabled = true;
    work.catch((error: unknown) => {
      this.say(errorText(error));
      this.draw();
    }).finally(() => {
      if (control) control.disabled = false;
    });
  }
}

/** Where the pass of a stay is kept for a reload of the page. */
const keyOf = (userId: string, roomId: number | string) => `pass ${userId} ${typeof roomId} ${roomId}`;

export function keptPass(userId: string, roomId: number | string): string | undefined {
  return sessionStorage.getItem(keyOf(userId, roomId)) ?? undefined;
}

export function keepPass(userId: string, roomId: number | string, pass: string | undefined): void {
  if (pass) sessionStorage.setItem(keyOf(userId, roomId), pass);
  else sessionStorage.removeItem(keyOf(userId, roomId));
}
