// The participants: a tile for each member and screen, in a grid or around one of them.

import type { LocalMedia } from '../sdk/local_media';
import { attach, playAgain, whenVisible } from '../sdk/playback';
import type { Room } from '../sdk/room';
import type { Slot } from '../sdk/types';
import { icon } from './icons';
import { t } from './i18n';
import { bestGrid } from './layout';

/** Between tiles, pixels; the padding around them is as wide. */
const GAP = 10;
const REACTION_MS = 5000;

interface Tile {
  element: HTMLElement;
  video?: HTMLVideoElement;
  /** Ends the video. */
  stop?: () => void;
  slot: Slot;
  label: HTMLElement;
  pin: HTMLButtonElement;
}

export type View = 'grid' | 'speaker';

export class Tiles {
  private readonly tiles = new Map<string, Tile>();
  private pinned?: string;
  private speaking = new Set<string>();
  /** The member who spoke last. */
  private speaker?: string;
  private hands = new Set<string>();
  /** The place without its padding, pixels: measured by the observer, because reading it here would force a layout each time. */
  private size = { width: 0, height: 0 };
  private arranged = '';
  view: View = 'grid';

  /** `adapt`: the size of a tile chooses the layer of its video. */
  constructor(
    private readonly room: Room,
    private readonly place: HTMLElement,
    private readonly media: LocalMedia,
    private readonly adapt: boolean,
  ) {
    room.on('remotes', () => this.draw());
    room.on('changed', () => this.draw());
    room.on('speakers', (speakers) => {
      this.speaking = new Set(speakers.map(({ userId }) => userId));
      this.speaker = speakers.find(({ userId }) => userId !== room.userId)?.userId ?? this.speaker;
      // Several times a second: nothing else has changed.
      for (const tile of this.tiles.values()) this.showSpeaking(tile);
      this.arrange();
    });
    const observer = new ResizeObserver((entries) => {
      const { width, height } = entries.at(-1)?.contentRect ?? this.size;
      this.size = { width, height };
      this.arrange();
    });
    observer.observe(place);
    room.on('closed', () => observer.disconnect());
  }

  setView(view: View): void {
    this.view = view;
    this.draw();
  }

  showHands(hands: Set<string>): void {
    this.hands = hands;
    this.draw();
  }

  /** Shows a sign over the tile of a member for some seconds. */
  react(userId: string, sign: Element): void {
    const tile = this.tiles.get(userId);
    if (!tile) return;
    tile.element.querySelector('.reaction')?.remove();
    const shown = document.createElement('span');
    shown.className = 'reaction';
    shown.append(sign);
    tile.element.append(shown);
    setTimeout(() => shown.remove(), REACTION_MS);
  }

  draw(): void {
    const wanted = new Map<string, Slot>();
    const people = new Set([this.room.userId, ...this.room.members, ...this.room.publishers.keys()]);
    for (const userId of people) wanted.set(userId, { userId, source: 'camera' });
    for (const { userId, screen } of this.room.publishers.values()) {
      if (screen && userId !== this.room.userId) wanted.set(`${userId}/screen`, { userId, source: 'screen' });
    }
    for (const [key, tile] of this.tiles) {
      if (wanted.has(key)) continue;
      tile.stop?.();
      tile.element.remove();
      this.tiles.delete(key);
    }
    if (this.pinned !== undefined && !wanted.has(this.pinned)) this.pinned = undefined;
    for (const [key, slot] of wanted) this.update(key, this.tiles.get(key) ?? this.add(key, slot));
    this.arrange();
  }

  private add(key: string, slot: Slot): Tile {
    const element = document.createElement('article');
    const initial = Object.assign(document.createElement('span'), { className: 'initial', textContent: slot.userId[0] ?? '?' });
    initial.setAttribute('aria-hidden', 'true');
    initial.style.setProperty('--hue', String(hueOf(slot.userId)));
    const pin = Object.assign(document.createElement('button'), { className: 'pin', type: 'button' });
    pin.append(icon('pin'));
    pin.onclick = () => this.togglePin(key);
    const label = Object.assign(document.createElement('span'), { className: 'name' });
    element.append(initial, label, pin);
    this.place.append(element);
    this.arranged = '';
    const tile = { element, slot, label, pin };
    this.tiles.set(key, tile);
    return tile;
  }

  private update(key: string, tile: Tile): void {
    const { userId, source } = tile.slot;
    const own = userId === this.room.userId;
    const state = this.room.publishers.get(userId);
    const name = source === 'screen' ? t('screenOf', userId) : own ? t('you', userId) : userId;
    const muted = source === 'camera' && (own ? this.media.isMuted('audio') : state?.audio === 'muted');
    const hand = source === 'camera' && this.hands.has(userId);
    tile.element.classList.add('tile');
    tile.element.classList.toggle('own', own);
    tile.element.classList.toggle('screen', source === 'screen');
    this.showSpeaking(tile);
    const marks = [muted ? t('muted') : '', hand ? t('handRaised') : ''].filter(Boolean);
    const text = [name, ...marks].join(' · ');
    if (tile.element.getAttribute('aria-label') !== text) {
      const signs = [hand ? '✋' : '', muted ? icon('microphoneOff') : ''].filter((sign) => sign !== '');
      tile.label.replaceChildren(...signs, Object.assign(document.createElement('span'), { textContent: name }));
      tile.element.setAttribute('aria-label', text);
    }
    const [act, pressed] = [t(this.pinned === key ? 'unpin' : 'pin', name), String(this.pinned === key)];
    if (tile.pin.getAttribute('aria-label') !== act) tile.pin.setAttribute('aria-label', act);
    if (tile.pin.getAttribute('aria-pressed') !== pressed) tile.pin.setAttribute('aria-pressed', pressed);
    const sends = own ? this.media.track('camera')?.enabled : state?.[source === 'screen' ? 'screen' : 'camera'] === 'on' && this.arrives(tile.slot);
    if (sends) this.show(tile, own);
    else this.hide(tile);
  }

  private showSpeaking({ element, slot: { userId, source } }: Tile): void {
    element.classList.toggle('speaking', source === 'camera' && this.speaking.has(userId));
  }

  private arrives(slot: Slot): boolean {
    return this.room.remotes.some(({ userId, source }) => userId === slot.userId && source === slot.source);
  }

  private show(tile: Tile, own: boolean): void {
    const { userId, source } = tile.slot;
    if (!tile.video) {
      tile.video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true, muted: true });
      Object.assign(tile.video.dataset, { user: userId, source });
      tile.element.prepend(tile.video);
      tile.stop = own ? whenVisible(playAgain(tile.video)) : attach(this.room, tile.slot, tile.video, { adapt: this.adapt });
    }
    if (!own) return;
    const track = this.media.track('camera');
    const shown = (tile.video.srcObject as MediaStream | null)?.getVideoTracks()[0];
    if (track && shown !== track) tile.video.srcObject = new MediaStream([track]);
  }

  private hide(tile: Tile): void {
    tile.stop?.();
    tile.stop = undefined;
    tile.video?.remove();
    tile.video = undefined;
  }

  private togglePin(key: string): void {
    const before = this.pinned === undefined ? undefined : this.tiles.get(this.pinned)?.slot;
    if (before && before.userId !== this.room.userId) this.room.releaseVideo(before);
    this.pinned = this.pinned === key ? undefined : key;
    const slot = this.pinned === undefined ? undefined : this.tiles.get(key)?.slot;
    const state = slot && this.room.publishers.get(slot.userId);
    if (slot && slot.userId !== this.room.userId && state?.[slot.source]) void this.room.requestVideo(slot).catch(() => {});
    this.draw();
  }

  /** The tile in the middle: pinned, a screen, the member who spoke last, or anybody else. */
  private featured(): string | undefined {
    if (this.pinned !== undefined) return this.pinned;
    if (this.view === 'grid') return undefined;
    const keys = [...this.tiles.keys()];
    const speaker = this.speaker !== undefined && this.tiles.has(this.speaker) ? this.speaker : undefined;
    return keys.find((key) => key.endsWith('/screen')) ?? speaker ?? keys.find((key) => key !== this.room.userId) ?? keys[0];
  }

  /** Writes only what has changed, and reads no layout. */
  private arrange(): void {
    const { width: place, height } = this.size;
    if (place <= 0) return;
    const featured = this.featured();
    const count = this.tiles.size;
    const { columns, width } = bestGrid(count, place, height, GAP);
    const arranged = JSON.stringify([featured, count, columns, width, place]);
    if (arranged === this.arranged) return;
    this.arranged = arranged;
    this.place.dataset['view'] = featured === undefined ? 'grid' : 'speaker';
    for (const [key, { element }] of this.tiles) element.classList.toggle('featured', key === featured);
    for (const [name, value] of [['others', Math.max(1, count - 1)], ['place', `${place}px`], ['columns', columns], ['width', `${width}px`]] as const) {
      this.place.style.setProperty(`--${name}`, String(value));
    }
  }
}

/** The colour behind a member's initial, degrees: the same on every page, and by the golden angle another one for similar names. */
function hueOf(userId: string): number {
  let hash = 0;
  for (const letter of userId) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 1_000_003;
  return Math.round(hash * 137.508) % 360;
}
