// Videos in the application's containers: a video element of ours in each view, as TRTC makes them.

import { whenVisible } from '../sdk/playback';
import type { PlayerState, TRTCStreamType } from './constants';
import { EXTRA, refuse } from './error';
import type { View } from './types';

export interface Look {
  fillMode: 'contain' | 'cover' | 'fill';
  mirror: boolean;
}

export interface PlayerEvents {
  firstFrame: (width: number, height: number) => void;
  resized: (width: number, height: number) => void;
  state: (state: PlayerState, reason: string) => void;
  blocked: (resume: () => Promise<void>) => void;
}

/** One video (of a member, or the own) in any number of views. */
export class Player {
  private readonly elements = new Map<HTMLElement, HTMLVideoElement>();
  private track?: MediaStreamTrack;
  private hasFrame = false;
  private last?: PlayerState;
  private stopWatching?: () => void;

  constructor(private readonly tell: Partial<PlayerEvents>, private look: Look) {}

  /** The only video element, which may choose the layer; undefined if there are several views. */
  get only(): HTMLVideoElement | undefined {
    return this.elements.size === 1 ? this.videos[0] : undefined;
  }

  get videos(): HTMLVideoElement[] {
    return [...this.elements.values()];
  }

  /** Undefined leaves the views as they are. */
  setViews(view: View | undefined, fnName: string): void {
    if (view === undefined) return;
    const wanted = new Set(containers(view, fnName));
    for (const [container, video] of this.elements) {
      if (wanted.has(container)) continue;
      video.remove();
      this.elements.delete(container);
    }
    for (const container of wanted) if (!this.elements.has(container)) this.elements.set(container, this.element(container));
    this.draw();
  }

  setLook(look: Partial<Look>): void {
    this.look = { ...this.look, ...Object.fromEntries(Object.entries(look).filter(([, value]) => value !== undefined)) };
    this.draw();
  }

  setTrack(track?: MediaStreamTrack): void {
    if (this.track === track) return;
    this.track = track;
    this.hasFrame = false;
    this.draw();
    if (!track) this.change('STOPPED', 'ended');
  }

  stop(): void {
    this.setTrack(undefined);
    for (const video of this.videos) video.remove();
    this.elements.clear();
    this.stopWatching?.();
    this.stopWatching = undefined;
  }

  snapshot(): string {
    const video = this.videos.find(({ videoWidth }) => videoWidth > 0);
    if (!video) return '';
    const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext('2d')?.drawImage(video, 0, 0);
    return canvas.toDataURL('image/png');
  }

  private element(container: HTMLElement): HTMLVideoElement {
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true, autoplay: true });
    Object.assign(video.style, { width: '100%', height: '100%', display: 'block' });
    video.onloadeddata = () => {
      if (!this.hasFrame) this.tell.firstFrame?.(video.videoWidth, video.videoHeight);
      this.hasFrame = true;
    };
    video.onresize = () => this.tell.resized?.(video.videoWidth, video.videoHeight);
    video.onplaying = () => this.change('PLAYING', 'playing');
    video.onpause = () => this.change('PAUSED', 'pause');
    container.append(video);
    this.stopWatching ??= whenVisible(() => {
      for (const one of this.videos) if (one.paused && one.srcObject) this.play(one);
    });
    return video;
  }

  private draw(): void {
    for (const video of this.videos) {
      video.style.objectFit = this.look.fillMode;
      video.style.transform = this.look.mirror ? 'scaleX(-1)' : '';
      const shown = (video.srcObject as MediaStream | null)?.getTracks()[0];
      if (shown === this.track) continue;
      video.srcObject = this.track ? new MediaStream([this.track]) : null;
      if (this.track) this.play(video);
    }
  }

  private play(video: HTMLVideoElement): void {
    video.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.tell.blocked?.(() => video.play());
    });
  }

  private change(state: PlayerState, reason: string): void {
    if (this.last === state) return;
    this.last = state;
    this.tell.state?.(state, reason);
  }
}

function containers(view: View, fnName: string): HTMLElement[] {
  if (view === null) return [];
  const all = Array.isArray(view) ? view : [view];
  return all.map((one) => {
    const element = typeof one === 'string' ? document.getElementById(one) : one;
    if (element instanceof HTMLElement) return element;
    if (typeof one === 'string') throw refuse('INVALID_PARAMETER', fnName, `the page has no element with the id ${one}`, EXTRA.NO_SUCH_ELEMENT);
    throw refuse('INVALID_PARAMETER', fnName, 'a view must be an HTMLElement or an id', EXTRA.WRONG_TYPE);
  });
}

/** The key of a player. */
export function videoKey(userId: string, streamType: TRTCStreamType): string {
  return `${streamType} ${userId}`;
}
