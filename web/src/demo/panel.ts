// The side panel: chat, people, mix, devices. One of them is open, or none.

import type { LocalMedia } from '../sdk/local_media';
import type { Room } from '../sdk/room';
import { ChatHistory } from './chat_history';
import { find } from './find';
import { icon } from './icons';
import { t } from './i18n';
import { People, type PersonActions } from './people';
import type { Seats } from './seats';
import { COMMAND, MAX_TEXT, decodeMessage, encodeMessage, type RoomMessage } from './room_messages';

export type Tab = 'chat' | 'people' | 'mix' | 'devices';
/** Between two messages for a new member. */
const BETWEEN_MS = 150;
/** One member after the other may tell a new one the earlier messages. */
const TURN_MS = 500;
const tabs: Tab[] = ['chat', 'people', 'mix', 'devices'];

export class Panel {
  private open?: Tab;
  private unread = 0;
  private readonly hands = new Set<string>();
  private readonly people: People;
  private readonly history: ChatHistory;
  /** Messages that go one after the other, so that the server's limit is kept. */
  private readonly waiting: RoomMessage[] = [];
  /** Gets the messages that are not of the panel. */
  private readonly listeners: ((from: string, message: RoomMessage) => void)[] = [];
  private seats?: Seats;
  /** Users who wait to be admitted. */
  private waitingUsers = 0;
  private isOver = false;
  /** The choice of devices is shown. */
  onDevices = () => {};

  constructor(private readonly room: Room, private readonly media: LocalMedia, private readonly stage: HTMLElement, private readonly onHands: (hands: Set<string>) => void, actions: PersonActions) {
    this.people = new People(actions);
    this.history = new ChatHistory(room.userId, performance.now());
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
      this.addMessage(room.userId, said);
      text.value = '';
    };
    room.on('custom-message', ({ userId, cmdId, data }) => {
      const message = cmdId === COMMAND ? decodeMessage(data) : undefined;
      if (message?.kind === 'chat') this.addMessage(userId, message.text, true);
      if (message?.kind === 'past' && this.history.takes(userId, message.to, performance.now())) this.addMessage(message.from, message.text);
      if (message?.kind === 'past') this.history.noteTold(message.to);
      if (message?.kind === 'hello') {
        setTimeout(() => this.tellSlowly(this.history.tell(userId)), TURN_MS * this.history.rank(userId, [...room.members, ...room.publishers.keys()]));
      }
      if (message?.kind === 'hand') this.raise(userId, message.up);
      if (message?.kind === 'hello' && this.hands.has(room.userId)) this.tell({ kind: 'hand', up: true });
      if (message) for (const listener of this.listeners) listener(userId, message);
    });
    room.on('changed', () => {
      for (const one of [...this.hands]) if (one !== room.userId && !room.members.has(one) && !room.publishers.has(one)) this.raise(one, false);
      for (const one of this.seats?.asking ?? []) if (!room.members.has(one) && !room.publishers.has(one)) this.seats?.forget(one);
      this.drawPeople();
    });
    room.on('closed', () => { this.isOver = true; });
    media.on('changed', () => this.drawPeople());
    this.drawPeople();
  }

  /** Follows the seats, and hears of what was before. */
  follow(seats: Seats, listener: (from: string, message: RoomMessage) => void): void {
    this.seats = seats;
    this.listeners.push((from, message) => seats.handle(from, message), listener);
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
    if (tab === 'devices') this.onDevices();
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

  tell(message: RoomMessage): void {
    this.room.sendCustomMessage({ cmdId: COMMAND, data: encodeMessage(message) });
  }

  private raise(userId: string, up: boolean): void {
    if (up) this.hands.add(userId);
    else this.hands.delete(userId);
    this.onHands(new Set(this.hands));
    this.drawPeople();
  }

  private tellSlowly(messages: RoomMessage[]): void {
    const isIdle = this.waiting.length === 0;
    this.waiting.push(...messages);
    const next = () => {
      const message = this.waiting.shift();
      if (!message || this.isOver) return;
      this.tell(message);
      setTimeout(next, BETWEEN_MS);
    };
    if (isIdle) next();
  }

  private addMessage(userId: string, text: string, isOther = false): void {
    this.history.add({ from: userId, text });
    find('#no-messages', HTMLElement).hidden = true;
    const item = document.createElement('li');
    item.append(Object.assign(document.createElement('strong'), { textContent: userId === this.room.userId ? t('you', userId) : userId }), document.createElement('br'), text);
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

  showWaiting(count: number): void {
    this.waitingUsers = count;
    this.drawPeople();
  }

  drawPeople(): void {
    const { room, media, seats } = this;
    const sends = (userId: string, source: 'audio' | 'camera') => (
      userId === room.userId ? media.track(source) !== undefined && !media.isMuted(source) : room.publishers.get(userId)?.[source] === 'on');
    const all = [...new Set([room.userId, ...room.members, ...room.publishers.keys()])];
    this.people.draw(all.map((userId) => ({
      userId, own: userId === room.userId, audio: sends(userId, 'audio'), camera: sends(userId, 'camera'), hand: this.hands.has(userId),
      seated: userId === room.userId ? seats?.role === 'anchor' : room.publishers.has(userId), asks: seats?.asking.has(userId) ?? false,
    })), seats?.role === 'anchor');
    const asking = (seats?.asking.size ?? 0) + this.waitingUsers;
    const button = find('#toggle-people', HTMLButtonElement);
    if (asking > 0) button.dataset['unread'] = String(asking);
    else delete button.dataset['unread'];
    find('#breakout', HTMLElement).hidden = seats?.role !== 'anchor' || all.length < 2;
  }
}
