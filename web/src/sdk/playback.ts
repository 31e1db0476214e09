// Plays remote tracks: every voice by an audio element of its own, and videos in the application's elements.

import { fit } from './adaptive';
import { Emitter } from './emitter';
import type { Remote, Room } from './room';
import { RotundaError, type Slot } from './types';

export interface Blocked {
  userId: string;
  source: Slot['source'];
  /** Plays it; call this from a tap. The next tap or key anywhere in the page does it, too. */
  resume: () => Promise<void>;
}

/** Plays the audio of all other members, as long as it is not closed. */
export class Voices extends Emitter<{
  /** The browser plays no audio before the person has touched the page: ask for a tap. */
  blocked: Blocked;
  playing: { userId: string };
}> {
  private readonly elements = new Map<string, HTMLAudioElement>();
  private readonly volumes = new Map<string, number>();
  private output = '';
  private readonly stopListening: () => void;

  constructor(room: Pick<Room, 'on' | 'remotes'>) {
    super();
    const stopListening = room.on('remotes', (remotes) => this.draw(remotes));
    const stopWatching = whenVisible(() => {
      for (const [userId, element] of this.elements) if (element.paused && element.srcObject) this.play(userId, element);
    });
    this.stopListening = () => {
      stopListening();
      stopWatching();
    };
    this.draw(room.remotes);
  }

  /** 0 to 100. Safari on iOS plays all at the volume of the device. */
  setVolume(userId: string, volume: number): void {
    this.volumes.set(userId, volume);
    const element = this.elements.get(userId);
    if (element) element.volume = Math.min(100, Math.max(0, volume)) / 100;
  }

  /** Plays on this speaker (`audiooutput` of `listDevices`); rejects where the browser cannot choose one. */
  async setOutput(deviceId: string): Promise<void> {
    if (!canSetOutput()) throw new RotundaError('output_not_supported', 'This browser chooses the speaker itself. Choose it in the settings of the system.');
    this.output = deviceId;
    await Promise.all([...this.elements.values()].map((element) => element.setSinkId(deviceId)));
  }

  close(): void {
    this.stopListening();
    this.draw([]);
  }

  private draw(remotes: Remote[]): void {
    const heard = remotes.filter(({ source }) => source === 'audio');
    for (const { userId, track } of heard) {
      let element = this.elements.get(userId);
      if (!element) {
        element = document.createElement('audio');
        element.dataset['user'] = userId;
        element.volume = Math.min(100, Math.max(0, this.volumes.get(userId) ?? 100)) / 100;
        if (this.output) void element.setSinkId(this.output).catch(() => {});
        // Some browsers play only what is in the page.
        document.body.append(element);
        this.elements.set(userId, element);
      }
      if (setTrack(element, track)) this.play(userId, element);
    }
    for (const [userId, element] of this.elements) {
      if (heard.some((one) => one.userId === userId)) continue;
      element.srcObject = null;
      element.remove();
      this.elements.delete(userId);
    }
  }

  private play(userId: string, element: HTMLAudioElement): void {
    start(element).then(
      () => this.emit('playing', { userId }),
      () => this.emit('blocked', { userId, source: 'audio', resume: onTap(element) }),
    );
  }
}

/** Whether this browser has a way to choose the speaker. */
export function canSetOutput(): boolean {
  return 'setSinkId' in HTMLMediaElement.prototype;
}

export interface AttachOptions {
  /** The element's size and visibility choose the layer; true by default. */
  adapt?: boolean;
  onBlocked?: (blocked: Blocked) => void;
}

/** Shows a member's camera or screen in an element, whenever it arrives. Returns a function that ends it. */
export function attach(
  room: Pick<Room, 'on' | 'remotes' | 'limitHeight'>, slot: Slot, element: HTMLVideoElement, { adapt = true, onBlocked }: AttachOptions = {},
): () => void {
  element.muted = true;
  element.playsInline = true;
  const draw = (remotes: Remote[]) => {
    const track = remotes.find(({ userId, source }) => userId === slot.userId && source === slot.source)?.track;
    if (!setTrack(element, track) || !track) return;
    play();
  };
  const play = () => void start(element).catch(() => onBlocked?.({ ...slot, resume: onTap(element) }));
  const stopWatching = whenVisible(() => { if (element.paused && element.srcObject) play(); });
  const stopListening = room.on('remotes', draw);
  const stopFitting = adapt ? fit(room, slot, element) : undefined;
  draw(room.remotes);
  return () => {
    stopListening();
    stopWatching();
    stopFitting?.();
    element.srcObject = null;
  };
}

/** Whether the element did not have this track. */
function setTrack(element: HTMLMediaElement, track?: MediaStreamTrack): boolean {
  const shown = (element.srcObject as MediaStream | null)?.getTracks()[0];
  if (shown === track) return false;
  element.srcObject = track ? new MediaStream([track]) : null;
  return true;
}

/** Rejects only if the browser does not permit it; a newer track ends an earlier attempt. */
async function start(element: HTMLMediaElement): Promise<void> {
  try {
    await element.play();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotAllowedError') throw error;
  }
}

/** Safari pauses media in the background, and plays none there that is new: it goes on when the page is visible again. */
export function whenVisible(listener: () => void): () => void {
  const look = () => { if (document.visibilityState === 'visible') listener(); };
  document.addEventListener('visibilitychange', look);
  return () => document.removeEventListener('visibilitychange', look);
}

/** For the own preview, which needs no tap: the page captures. */
export function playAgain(element: HTMLVideoElement): () => void {
  return () => { if (element.paused && element.srcObject) void element.play().catch(() => {}); };
}

/** What browsers take for an act of the person; Safari does not take all of them. */
const TAPS = ['pointerup', 'click', 'keyup'] as const;

/** The next tap or key that the browser accepts plays the element. Returns a function that plays it now. */
function onTap(element: HTMLMediaElement): () => Promise<void> {
  const end = () => { for (const name of TAPS) removeEventListener(name, tap); };
  const resume = async () => {
    await element.play();
    end();
  };
  const tap = () => {
    // It has gone, or plays already.
    if (!element.srcObject || !element.paused) end();
    else void resume().catch(() => {});
  };
  for (const name of TAPS) addEventListener(name, tap);
  return resume;
}
