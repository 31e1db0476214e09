// Breakout rooms: members are sent to rooms of their own for some minutes, and come back by themselves.
// The address of the page says where to go back to and when, so it also holds after a reload.

import { t } from './i18n';
import { ask } from './prompts';
import type { RoomMessage } from './room_messages';

export const MOST_ROOMS = 6;
/** The server takes 30 messages per second of one member. */
const PER_SECOND = 20;

/** Who goes where: one after the other into each room. Pure. */
export function split(userIds: string[], rooms: number, mainRoom: string, minutes: number): Extract<RoomMessage, { kind: 'move' }>[] {
  return userIds.map((to, index) => ({ kind: 'move', to, room: `${mainRoom}-${(index % rooms) + 1}`, minutes }));
}

/** The address of this page in a breakout room. Pure. */
export function addressOf(search: string, room: string, mainRoom: string, until: number): string {
  const parameters = new URLSearchParams(search);
  for (const [name, value] of Object.entries({ room, back: mainRoom, until: String(until), auto: '1' })) parameters.set(name, value);
  return `?${parameters}`;
}

/** The address of this page back in the main room. Pure. */
export function addressBack(search: string): string {
  const parameters = new URLSearchParams(search);
  parameters.set('room', parameters.get('back') ?? '');
  for (const name of ['back', 'until']) parameters.delete(name);
  parameters.set('auto', '1');
  return `?${parameters}`;
}

/** Tells everybody where to go, within the server's limit. */
export async function send(moves: RoomMessage[], tell: (message: RoomMessage) => void): Promise<void> {
  for (let at = 0; at < moves.length; at += PER_SECOND) {
    if (at > 0) await new Promise((resolve) => { setTimeout(resolve, 1000); });
    moves.slice(at, at + PER_SECOND).forEach(tell);
  }
}

/** Asks the person, and goes there. `leave` ends the stay here. */
export function invite(from: string, { room, minutes }: Extract<RoomMessage, { kind: 'move' }>, mainRoom: string, search: () => string, leave: () => Promise<void>): void {
  ask('move', t('sendsYouTo', from, room, minutes), [
    { text: t('go'), primary: true, run: () => void leave().then(() => location.assign(addressOf(search(), room, mainRoom, Date.now() + minutes * 60_000))) },
    { text: t('stay'), run: () => {} },
  ]);
}

/** In a breakout room: shows the time that is left, and goes back when it is over. Returns a function that ends it. */
export function comeBack(search: string, button: HTMLButtonElement, leave: () => Promise<void>): () => void {
  const parameters = new URLSearchParams(search);
  const until = Number(parameters.get('until'));
  if (!parameters.get('back') || !until) return () => {};
  let gone = false;
  const go = () => {
    if (gone) return;
    gone = true;
    clearInterval(timer);
    void leave().then(() => location.assign(addressBack(search)));
  };
  const show = () => {
    const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    button.textContent = t('backToMain', `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`);
    if (seconds === 0) go();
  };
  button.hidden = false;
  button.onclick = go;
  const timer = setInterval(show, 1000);
  show();
  return () => {
    gone = true;
    clearInterval(timer);
  };
}
