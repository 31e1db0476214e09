// The list of people: what they send, who asks for a seat, and what this member may do about it.

import { find } from './find';
import { icon } from './icons';
import { t } from './i18n';

export interface Person {
  userId: string;
  own: boolean;
  audio: boolean;
  camera: boolean;
  hand: boolean;
  /** Sends something, muted or not. */
  seated: boolean;
  asks: boolean;
}

export interface PersonActions {
  /** Offers a seat, or refuses it. */
  offer: (userId: string, may: boolean) => void;
  give: () => void;
}

export class People {
  private readonly drawn = new Map<string, { state: string; item: HTMLElement }>();

  constructor(private readonly actions: PersonActions) {}

  /** Only what has changed is drawn again, so that no button goes from under a finger. `seated`: this member has a seat. */
  draw(people: Person[], seated: boolean): void {
    const list = find('#people', HTMLElement);
    for (const [userId, { item }] of this.drawn) {
      if (people.some((one) => one.userId === userId)) continue;
      item.remove();
      this.drawn.delete(userId);
    }
    people.forEach((person, index) => {
      const state = JSON.stringify([person, seated]);
      const known = this.drawn.get(person.userId);
      const item = known?.state === state ? known.item : this.item(person, seated);
      if (known && known.item !== item) {
        const focused = known.item.contains(document.activeElement);
        known.item.replaceWith(item);
        if (focused) item.querySelector('button')?.focus();
      }
      this.drawn.set(person.userId, { state, item });
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
    });
  }

  private item(person: Person, seated: boolean): HTMLElement {
    const { userId, own, audio, camera, hand, asks, seated: hasSeat } = person;
    const item = document.createElement('li');
    const name = Object.assign(document.createElement('span'), { textContent: `${hand ? '✋ ' : ''}${own ? t('you', userId) : userId}` });
    item.append(name, icon(audio ? 'microphone' : 'microphoneOff'), icon(camera ? 'camera' : 'cameraOff'));
    if (!seated) return item;
    const acts = Object.assign(document.createElement('div'), { className: 'acts' });
    if (own) acts.append(this.button(t('toAudience'), userId, this.actions.give));
    else if (asks) {
      acts.append(
        this.button(t('letSpeak'), userId, () => this.actions.offer(userId, true), 'primary'),
        this.button(t('decline'), userId, () => this.actions.offer(userId, false)),
      );
    } else if (!hasSeat) {
      acts.append(this.button(t('inviteToSpeak'), userId, () => this.actions.offer(userId, true)));
    }
    // An empty one would take a gap, and the icons of the rows would not be in one column.
    if (acts.childElementCount > 0) item.append(acts);
    return item;
  }

  private button(text: string, userId: string, run: () => void, className = ''): HTMLButtonElement {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text, className, onclick: run });
    button.setAttribute('aria-label', `${text}: ${userId}`);
    return button;
  }
}
