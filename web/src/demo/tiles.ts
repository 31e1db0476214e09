// The participants: a tile per member and screen, an <audio> element per remote microphone.

import type { Remote, Room } from '../sdk/room';
import type { Speaker } from '../sdk/types';

export class Tiles {
  private readonly tiles = new Map<string, HTMLElement>();
  private readonly voices = new Map<string, HTMLAudioElement>();

  constructor(
    private readonly room: Room,
    private readonly own: string,
    private readonly place: HTMLElement,
    private readonly ownStream: () => MediaStream | undefined,
  ) {
    room.on('remotes', () => this.draw());
    room.on('changed', () => this.draw());
    room.on('speakers', (speakers) => this.showSpeakers(speakers));
  }

  draw(): void {
    const wanted = new Set<string>();
    const { remotes } = this.room;
    const people = new Set([this.own, ...this.room.members, ...this.room.publishers.keys()]);
    for (const user of people) {
      wanted.add(user);
      const state = this.room.publishers.get(user);
      const remote = remotes.find(({ userId, source }) => userId === user && source === 'camera');
      const own = user === this.own;
      const stream = own ? this.ownStream() : remote && state?.camera === 'on' ? new MediaStream([remote.track]) : undefined;
      this.tile(user, user, own ? 'own' : '', stream, 'camera', state?.audio === 'muted');
    }
    for (const { userId, source, track } of remotes) {
      if (source === 'screen' && this.room.publishers.get(userId)?.screen) {
        wanted.add(`${userId}/screen`);
        this.tile(`${userId}/screen`, `${userId}'s screen`, 'screen', new MediaStream([track]), 'screen', false);
      }
    }
    for (const [key, tile] of this.tiles) {
      if (!wanted.has(key)) {
        tile.remove();
        this.tiles.delete(key);
      }
    }
    this.listen(remotes);
  }

  private tile(key: string, name: string, kind: string, stream: MediaStream | undefined, source: string, muted: boolean): void {
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = document.createElement('article');
      tile.append(Object.assign(document.createElement('span'), { className: 'initial', textContent: name[0] ?? '?' }));
      tile.append(Object.assign(document.createElement('span'), { className: 'name' }));
      this.place.append(tile);
      this.tiles.set(key, tile);
    }
    tile.className = `tile ${kind} ${tile.classList.contains('speaking') ? 'speaking' : ''}`;
    const label = tile.querySelector('.name');
    if (label) label.textContent = `${name}${kind === 'own' ? ' (you)' : ''}${muted ? ' · muted' : ''}`;
    let video = tile.querySelector('video');
    const track = stream?.getVideoTracks()[0];
    if (!track) {
      video?.remove();
      return;
    }
    if (!video) {
      video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true, muted: true });
      tile.prepend(video);
    }
    video.dataset['user'] = key.split('/')[0];
    video.dataset['source'] = source;
    const shown = (video.srcObject as MediaStream | null)?.getVideoTracks()[0];
    if (shown !== track) video.srcObject = new MediaStream([track]);
  }

  private listen(remotes: Remote[]): void {
    const heard = remotes.filter(({ source }) => source === 'audio');
    for (const { userId, track } of heard) {
      let audio = this.voices.get(userId);
      if (!audio) {
        audio = Object.assign(document.createElement('audio'), { autoplay: true });
        audio.dataset['user'] = userId;
        document.body.append(audio);
        this.voices.set(userId, audio);
      }
      const playing = (audio.srcObject as MediaStream | null)?.getAudioTracks()[0];
      if (playing !== track) audio.srcObject = new MediaStream([track]);
    }
    for (const [user, audio] of this.voices) {
      if (!heard.some(({ userId }) => userId === user)) {
        audio.remove();
        this.voices.delete(user);
      }
    }
  }

  private showSpeakers(speakers: Speaker[]): void {
    const speaking = new Set(speakers.map(({ userId }) => userId));
    for (const [user, tile] of this.tiles) tile.classList.toggle('speaking', speaking.has(user));
  }
}
