// The people of a call: a tile for each, with their video, or their avatar.

import { bestGrid } from '../demo/layout';
import { attach, playAgain, whenVisible } from '../sdk/playback';
import type { CallEngine } from './engine';
import { CallRoom } from './media';
import { avatar, make, nameOf } from './parts';
import type { Texts } from './texts';
import type { Party, Profile } from './types';

const GAP = 10;

interface Tile {
  element: HTMLElement;
  name: HTMLElement;
  face?: HTMLElement;
  /** The profile that the face shows. */
  shown?: Profile;
  video?: HTMLVideoElement;
  /** Ends the video. */
  stop?: () => void;
}

export class Tiles {
  readonly element: HTMLElement;
  private readonly tiles = new Map<string, Tile>();
  /** The screen of another member. */
  private presented?: { userId: string; element: HTMLElement; stop: () => void };
  private speaking = new Set<string>();
  private listeningTo?: CallRoom;
  private readonly observer: ResizeObserver;

  constructor(private readonly engine: CallEngine, private readonly texts: Texts) {
    this.element = make('div', 'tiles', { role: 'list', 'aria-label': texts.t('participants') });
    this.observer = new ResizeObserver(() => this.arrange());
    this.observer.observe(this.element);
  }

  draw(): void {
    const room = this.room;
    if (room && room !== this.listeningTo) {
      room.room.on('speakers', (speakers) => { this.speaking = new Set(speakers.map(({ userId }) => userId)); });
    }
    this.listeningTo = room;
    const shown = (this.engine.call?.parties ?? []).filter(({ state }) => state === 'joined' || state === 'ringing');
    // The others come first: a small window shows the first tile.
    const order = [...shown.filter(({ userId }) => userId !== this.engine.userId), ...shown.filter(({ userId }) => userId === this.engine.userId)];
    for (const [userId, tile] of this.tiles) {
      if (order.some((party) => party.userId === userId)) continue;
      tile.stop?.();
      tile.element.remove();
      this.tiles.delete(userId);
    }
    for (const [index, party] of order.entries()) {
      const tile = this.tiles.get(party.userId) ?? this.add(party.userId);
      this.update(tile, party, room);
      tile.element.classList.toggle('first', index === 0);
      // Moving a video would interrupt it.
      if (this.element.children[index] !== tile.element) this.element.insertBefore(tile.element, this.element.children[index] ?? null);
    }
    this.present(room);
    this.arrange();
  }

  clear(): void {
    for (const { stop } of this.tiles.values()) stop?.();
    this.tiles.clear();
    this.endPresentation();
    this.element.replaceChildren();
    this.listeningTo = undefined;
  }

  close(): void {
    this.clear();
    this.observer.disconnect();
  }

  private get room(): CallRoom | undefined {
    const { media } = this.engine;
    return media instanceof CallRoom ? media : undefined;
  }

  private add(userId: string): Tile {
    const name = make('span', 'name');
    const element = make('div', 'tile', { role: 'listitem', 'data-user': userId }, name);
    const tile = { element, name };
    this.tiles.set(userId, tile);
    return tile;
  }

  private update(tile: Tile, { userId, state }: Party, room?: CallRoom): void {
    const own = userId === this.engine.userId;
    const profile = this.engine.profile(userId);
    const called = own ? this.texts.t('you', nameOf(profile)) : nameOf(profile);
    const publisher = room?.room.publishers.get(userId);
    const muted = state === 'joined' && (own ? room && !room.microphone : publisher?.audio === 'muted');
    const text = state === 'ringing' ? this.texts.t('ringing', called) : muted ? this.texts.t('muted', called) : called;
    if (tile.name.textContent !== text) tile.name.textContent = text;
    tile.element.setAttribute('aria-label', text);
    tile.element.classList.toggle('own', own);
    tile.element.classList.toggle('rings', state === 'ringing');
    tile.element.classList.toggle('speaking', this.speaking.has(userId));
    if (tile.shown !== profile) {
      tile.shown = profile;
      const face = avatar(profile);
      if (tile.face) tile.face.replaceWith(face);
      else tile.element.prepend(face);
      tile.face = face;
    }
    const sends = own ? room?.local.track('camera')?.enabled : publisher?.camera === 'on' && this.arrives(userId, room);
    if (room && sends) this.show(tile, userId, own, room);
    else this.hide(tile);
  }

  /** The server sends one screen at a time. */
  private present(room?: CallRoom): void {
    const arriving = room?.room.remotes.find(({ source }) => source === 'screen')?.userId;
    const userId = arriving !== undefined && room?.room.publishers.get(arriving)?.screen === 'on' ? arriving : undefined;
    if (userId === this.presented?.userId) return;
    this.endPresentation();
    if (!room || userId === undefined) return;
    const text = this.texts.t('screenOf', nameOf(this.engine.profile(userId)));
    const video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true, muted: true });
    Object.assign(video.dataset, { user: userId, source: 'screen' });
    const element = make('div', 'tile screen', { role: 'listitem', 'aria-label': text }, video, make('span', 'name', {}, text));
    this.presented = { userId, element, stop: attach(room.room, { userId, source: 'screen' }, video) };
    this.element.append(element);
    this.element.classList.add('presents');
  }

  private endPresentation(): void {
    this.presented?.stop();
    this.presented?.element.remove();
    this.presented = undefined;
    this.element.classList.remove('presents');
  }

  private arrives(userId: string, room?: CallRoom): boolean {
    return room?.room.remotes.some((remote) => remote.userId === userId && remote.source === 'camera') ?? false;
  }

  private show(tile: Tile, userId: string, own: boolean, room: CallRoom): void {
    if (!tile.video) {
      tile.video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true, muted: true });
      Object.assign(tile.video.dataset, { user: userId, source: 'camera' });
      tile.name.before(tile.video);
      tile.stop = own ? whenVisible(playAgain(tile.video)) : attach(room.room, { userId, source: 'camera' }, tile.video);
    }
    if (!own) return;
    const track = room.local.track('camera');
    const playing = (tile.video.srcObject as MediaStream | null)?.getVideoTracks()[0];
    if (track && playing !== track) tile.video.srcObject = new MediaStream([track]);
  }

  private hide(tile: Tile): void {
    tile.stop?.();
    tile.stop = undefined;
    tile.video?.remove();
    tile.video = undefined;
  }

  private arrange(): void {
    const { clientWidth, clientHeight } = this.element;
    this.element.style.setProperty('--wide', `${clientWidth - 2 * GAP}px`);
    this.element.style.setProperty('--count', String(this.tiles.size));
    const { width } = bestGrid(this.tiles.size, clientWidth - 2 * GAP, clientHeight - 2 * GAP, GAP);
    this.element.style.setProperty('--width', `${width}px`);
  }
}
