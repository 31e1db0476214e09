// A room in a plain page: join, see and hear everybody, mute, leave.

import { LocalMedia, Room, RotundaError, Voices, attach, type Slot } from '@rotunda/sdk';
import { ticketOf } from '../ticket';

const find = <Type extends HTMLElement>(id: string) => document.getElementById(id) as Type;
const [join, mute, leave] = ['join', 'mute', 'leave'].map((id) => find<HTMLButtonElement>(id)) as [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
const message = find('message');
const videos = find('videos');

/** The shown videos, by source and user. */
const shown = new Map<string, { element: HTMLVideoElement; stop: () => void }>();

function draw(room: Room): void {
  const wanted = new Map<string, Slot>();
  for (const { userId, camera, screen } of room.publishers.values()) {
    if (userId === room.userId) continue;
    if (camera === 'on') wanted.set(`camera ${userId}`, { userId, source: 'camera' });
    if (screen === 'on') wanted.set(`screen ${userId}`, { userId, source: 'screen' });
  }
  for (const [key, { element, stop }] of shown) {
    if (wanted.has(key)) continue;
    stop();
    element.remove();
    shown.delete(key);
  }
  for (const [key, slot] of wanted) {
    if (shown.has(key)) continue;
    const element = videos.appendChild(document.createElement('video'));
    element.setAttribute('aria-label', `${slot.userId}, ${slot.source}`);
    shown.set(key, { element, stop: attach(room, slot, element) });
  }
}

async function enter(): Promise<void> {
  const url = new URL('/ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const userId = `guest-${Math.floor(Math.random() * 1000)}`;
  const room = await Room.enter({ url: url.href, credentials: await ticketOf(userId), roomId: 1001 });
  const voices = new Voices(room);
  const media = new LocalMedia(room);
  room.on('changed', () => draw(room));
  room.on('reconnecting', (is) => { message.textContent = is ? 'Reconnecting …' : ''; });
  voices.on('blocked', () => { message.textContent = 'Tap the page to hear the others.'; });
  voices.on('playing', () => { message.textContent = ''; });
  media.on('lost', ({ error, retry }) => {
    message.textContent = `${error.message} `;
    const again = message.appendChild(Object.assign(document.createElement('button'), { textContent: 'Try again' }));
    again.onclick = () => void retry().then(() => { message.textContent = ''; }, () => {});
  });
  const end = (text: string) => {
    media.close();
    voices.close();
    for (const { element, stop } of shown.values()) {
      stop();
      element.remove();
    }
    shown.clear();
    [join.disabled, mute.disabled, leave.disabled] = [false, true, true];
    message.textContent = text;
  };
  room.on('closed', ({ message: text }) => end(text));
  leave.onclick = () => void room.leave().then(() => end(''));
  mute.onclick = () => {
    const muted = !media.isMuted('audio');
    void media.mute('audio', muted).then(() => { mute.textContent = muted ? 'Unmute' : 'Mute'; });
  };
  [join.disabled, mute.disabled, leave.disabled] = [true, false, false];
  draw(room);
  for (const source of ['audio', 'camera'] as const) {
    // Without a device, or without a free seat, the member only watches and listens.
    await media.start(source).catch((error: RotundaError) => { message.textContent = error.message; });
  }
}

join.onclick = () => void enter().catch((error: Error) => { message.textContent = error.message; });
