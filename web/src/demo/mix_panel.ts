// The panel beside the room: starts, stops and plays the mix, and lists the recordings.

import { play, type Protocol } from '../player/play';
import type { Room } from '../sdk/room';
import type { Template } from '../sdk/types';
import { recordings, startMix, stopMix } from './api';
import { muteButton } from '../player/mute_button';
import { find } from './find';
import { errorText, t } from './i18n';

export class MixPanel {
  private stopWatching?: () => void;
  /** The stream that is playing. */
  private watched?: string;

  constructor(private readonly room: Room, private readonly roomId: number | string) {
    const run = (action: () => Promise<unknown>) => async () => {
      this.say('');
      try {
        await action();
      } catch (error) {
        this.say(errorText(error));
      }
    };
    const template = find('#template', HTMLSelectElement);
    find('#mix-start', HTMLButtonElement).onclick = run(() => startMix(this.roomId, template.value as Template));
    find('#mix-stop', HTMLButtonElement).onclick = run(() => stopMix(this.roomId));
    find('#protocol', HTMLSelectElement).onchange = () => this.watch();
    muteButton(find('#mix-mute', HTMLButtonElement), find('#mix-player', HTMLVideoElement), { mute: t('mute'), unmute: t('unmute') });
    room.on('changed', () => this.draw());
    this.draw();
    void this.listRecordings();
    setInterval(() => void this.listRecordings(), 5000);
  }

  private draw(): void {
    const { mix } = this.room;
    find('#mix-stop', HTMLButtonElement).disabled = !mix;
    find('#mix-start', HTMLButtonElement).textContent = t(mix ? 'change' : 'start');
    find('#live', HTMLElement).hidden = !mix;
    if (mix?.streamId !== this.watched) this.watch();
  }

  /** Plays the running mix, if any. It starts muted, as browsers require. */
  private watch(): void {
    const { mix } = this.room;
    this.stopWatching?.();
    this.stopWatching = undefined;
    this.watched = mix?.streamId;
    if (!mix) return;
    const protocol = find('#protocol', HTMLSelectElement).value as Protocol;
    this.stopWatching = play(find('#mix-player', HTMLVideoElement), mix.streamId, protocol, (text) => this.say(text));
  }

  private async listRecordings(): Promise<void> {
    const list = find('#recordings', HTMLElement);
    let files;
    try {
      files = await recordings();
    } catch {
      return;
    }
    const mp4 = files.filter(({ format, state }) => format === 'mp4' && state === 'ready').slice(0, 20);
    list.replaceChildren(...mp4.map(({ name, durationMs, size, url }) => {
      const item = document.createElement('li');
      // The page's own host, whatever public address the server has.
      const link = Object.assign(document.createElement('a'), { href: new URL(url).pathname, textContent: name, target: '_blank' });
      item.append(link, ` · ${Math.round(durationMs / 1000)} s · ${(size / 1e6).toFixed(1)} MB`);
      return item;
    }));
    find('#no-recordings', HTMLElement).hidden = mp4.length > 0;
  }

  private say(text: string): void {
    find('#mix-message', HTMLElement).textContent = text;
  }
}
