// The panel beside the room: starts, stops and plays the mix, and lists the recordings.

import { play, type Protocol } from '../player/play';
import type { Room } from '../sdk/room';
import type { Template } from '../sdk/types';
import { recordings, startMix, stopMix, type Recording } from './api';
import { muteButton } from '../player/mute_button';
import { failureText } from '../player/texts';
import { icon } from './icons';
import { find } from './find';
import { currentLanguage, errorText, t } from './i18n';
import { drawLayout } from './layout_preview';

/** Milliseconds from the start of a mix to its first frame, at most. */
const BEGINS_WITHIN = 20_000;

export class MixPanel {
  private stopWatching?: () => void;
  private again?: ReturnType<typeof setTimeout>;
  /** The recordings that are shown. */
  private listed?: string;
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
    template.onchange = () => this.draw();
    this.player();
    find('#protocol', HTMLSelectElement).onchange = () => this.watch();
    muteButton(find('#mix-mute', HTMLButtonElement), find('#mix-player', HTMLVideoElement), { mute: t('mute'), unmute: t('unmute') });
    room.on('changed', () => this.draw());
    this.draw();
    void this.listRecordings();
    setInterval(() => void this.listRecordings(), 5000);
  }

  draw(): void {
    const { mix } = this.room;
    find('#mix-stop', HTMLButtonElement).disabled = !mix;
    find('#mix-start', HTMLButtonElement).textContent = t(mix ? 'change' : 'start');
    find('#live', HTMLElement).hidden = !mix;
    if (mix?.streamId !== this.watched) this.watch();
    // What *Start* or *Change* would make of the members who are here now.
    const cameras = new Set([...this.room.publishers.values()].filter(({ camera }) => camera).map(({ userId }) => userId));
    if (this.room.isPublishing('camera')) cameras.add(this.room.userId);
    drawLayout(find('#layout-preview', SVGSVGElement), find('#template', HTMLSelectElement).value as Template, [...cameras]);
  }

  /** Recordings play in the page. */
  private player(): void {
    const dialog = find('#recording', HTMLDialogElement);
    const close = find('#close-recording', HTMLButtonElement);
    close.setAttribute('aria-label', t('close'));
    close.replaceChildren(icon('close'));
    close.onclick = () => dialog.close();
    dialog.onclose = () => {
      const video = find('#recording-player', HTMLVideoElement);
      video.removeAttribute('src');
      video.load();
    };
  }

  private playRecording(name: string, address: string): void {
    find('#recording-name', HTMLElement).textContent = name;
    find('#recording-player', HTMLVideoElement).src = address;
    find('#recording-download', HTMLAnchorElement).href = address;
    find('#recording', HTMLDialogElement).showModal();
    find('#recording-player', HTMLVideoElement).play().catch(() => {
      // The person presses the player's own button.
    });
  }

  /** Plays the running mix, if any. It starts muted, as browsers require. A mix that has just been started has no frame yet. */
  private watch(until = Date.now() + BEGINS_WITHIN): void {
    const { mix } = this.room;
    clearTimeout(this.again);
    this.stopWatching?.();
    this.stopWatching = undefined;
    this.watched = mix?.streamId;
    if (!mix) return;
    const protocol = find('#protocol', HTMLSelectElement).value as Protocol;
    this.stopWatching = play(find('#mix-player', HTMLVideoElement), mix.streamId, protocol, (failure) => {
      if (Date.now() < until) this.again = setTimeout(() => this.watch(until), 1000);
      else this.say(failureText(currentLanguage(), failure));
    });
  }

  private async listRecordings(): Promise<void> {
    const list = find('#recordings', HTMLElement);
    let files;
    try {
      files = await recordings();
    } catch {
      return;
    }
    const mp4 = files.filter(({ format }) => format === 'mp4').slice(0, 20);
    const key = mp4.map(({ url, state, size }) => `${url} ${state} ${size}`).join('\n');
    find('#no-recordings', HTMLElement).hidden = mp4.length > 0;
    if (key === this.listed) return;
    this.listed = key;
    list.replaceChildren(...mp4.map((file) => this.item(file)));
  }

  private item({ name, durationMs, size, url, state }: Recording): HTMLElement {
    const item = document.createElement('li');
    if (state !== 'ready') {
      item.textContent = t('inWork', name);
      return item;
    }
    const watch = Object.assign(document.createElement('button'), { type: 'button', textContent: name, className: 'link' });
    watch.setAttribute('aria-label', t('play', name));
    // The page's own host, whatever public address the server has.
    watch.onclick = () => this.playRecording(name, new URL(url).pathname);
    item.append(watch, ` · ${Math.round(durationMs / 1000)} s · ${(size / 1e6).toFixed(1)} MB`);
    return item;
  }

  private say(text: string): void {
    find('#mix-message', HTMLElement).textContent = text;
  }
}
