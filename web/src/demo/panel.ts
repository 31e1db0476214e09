// The side panel: chat, people, mix. One of them is open, or none.

import type { LocalMedia } from '../sdk/local_media';
import type { Room } from '../sdk/room';
import { find } from './find';
import { icon } from './icons';
import { t } from './i18n';
import { COMMAND, MAX_TEXT, decodeMessage, encodeMessage, type RoomMessage } from './room_messages';

export type Tab = 'chat' | 'people' | 'mix';
const tabs: Tab[] = ['chat', 'people', 'mix'];

export class Panel {
  private open?: Tab;
  private unread = 0;
  private readonly hands = new Set<string>();

  constructor(private readonly room: Room, private readonly media: LocalMedia, private readonly stage: HTMLElement, private readonly onHands: (hands: Set<string>) => void) {
    for (const tab of tabs) find(`#toggle-${tab}`, HTMLButtonElement).onclick = () => this.show(this.open === tab ? undefined : tab);
    const close = find('#close-panel', HTMLButtonElement);
    close.setAttribute('aria-label', t('close'));
    close.replaceChildren(icon('close'));
    close.onclick = () => {
      const tab = this.open;
      this.show(undefined);
      if (tab) find(`#toggle-${tab}`, HTMLButtonElement).focus();
    };
    const text = find('#chat-text', HTMLInputElement);
    text.maxLength = MAX_TEXT;
    text.placeholder = t('message');
    find('#chat-form', HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      const said = text.value.trim();
      if (!said) return;
      this.tell({ kind: 'chat', text: said });
      this.addMessage(t('you', room.userId), said);
      text.value = '';
    };
    room.on('custom-message', ({ userId, cmdId, data }) => {
      const message = cmdId === COMMAND ? decodeMessage(data) : undefined;
      if (message?.kind === 'chat') this.addMessage(userId, message.text, true);
      if (message?.kind === 'hand') this.raise(userId, message.up);
      if (message?.kind === 'hello' && this.hands.has(room.userId)) this.tell({ kind: 'hand', up: true });
    });
    room.on('changed', () => {
      for (const one of [...this.hands]) if (one !== room.userId && !room.members.has(one) && !room.publishers.has(one)) this.raise(one, false);
      this.drawPeople();
    });
    media.on('changed', () => this.drawPeople());
    this.drawPeople();
    // Messages reach only those who are in the room: a new member asks for the raised hands.
    this.tell({ kind: 'hello' });
  }

  show(tab: Tab | undefined): void {
    this.open = tab;
    this.stage.classList.toggle('closed', tab === undefined);
    for (const one of tabs) {
      find(`#${one}-panel`, HTMLElement).hidden = one !== tab;
      find(`#toggle-${one}`, HTMLButtonElement).setAttribute('aria-expanded', String(one === tab));
    }
    if (tab) find('#panel-title', HTMLElement).textContent = t(tab);
    if (tab === 'chat') {
      this.unread = 0;
      this.showUnread();
      find('#chat-text', HTMLInputElement).focus();
    }
  }

  /** Raises or lowers the own hand. */
  setHand(up: boolean): void {
    this.tell({ kind: 'hand', up });
    this.raise(this.room.userId, up);
  }

  private tell(message: RoomMessage): void {
    this.room.sendCustomMessage({ cmdId: COMMAND, data: encodeMessage(message) });
  }

  private raise(userId: string, up: boolean): void {
    if (up) this.hands.add(userId);
    else this.hands.delete(userId);
    this.onHands(new Set(this.hands));
    this.drawPeople();
  }

  private addMessage(userId: string, text: string, isOther = false): void {
    find('#no-messages', HTMLElement).hidden = true;
    const item = document.createElement('li');
    item.append(Object.assign(document.createElement('strong'), { textContent: userId }), document.createElement('br'), text);
    const list = find('#messages', HTMLElement);
    list.append(item);
    while (list.children.length > 200) list.firstElementChild?.remove();
    list.scrollTop = list.scrollHeight;
    if (isOther && this.open !== 'chat') this.unread += 1;
    this.showUnread();
  }

  private showUnread(): void {
    const button = find('#toggle-chat', HTMLButtonElement);
    if (this.unread > 0) button.dataset['unread'] = String(this.unread);
    else delete button.dataset['unread'];
  }

  private drawPeople(): void {
    const { room, media } = this;
    const sends = (userId: string, source: 'audio' | 'camera') => (
      userId === room.userId ? media.track(source) && !media.isMuted(source) : room.publishers.get(userId)?.[source] === 'on');
    const people = new Set([room.userId, ...room.members, ...room.publishers.keys()]);
    find('#people', HTMLElement).replaceChildren(...[...people].map((userId) => {
      const item = document.createElement('li');
      const name = document.createElement('span');
      name.textContent = `${this.hands.has(userId) ? '✋ ' : ''}${userId === room.userId ? t('you', userId) : userId}`;
      item.append(name, icon(sends(userId, 'audio') ? 'microphone' : 'microphoneOff'), icon(sends(userId, 'camera') ? 'camera' : 'cameraOff'));
      return item;
    }));
  }
}
