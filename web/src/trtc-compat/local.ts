// The own microphone, camera and screen: started, changed and stopped as TRTC does, with their previews.

import type { CaptureOptions } from '../sdk/devices';
import type { LocalMedia } from '../sdk/local_media';
import type { Source } from '../sdk/types';
import type { TRTCStreamType } from './constants';
import { streamTypeOf } from './convert';
import { EXTRA, refuse } from './error';
import type { Outbox } from './outbox';
import { Player, type Look, type PlayerEvents } from './player';
import type { View } from './types';

type Local = Exclude<Source, 'audio'>;

/** The common part of the configurations of microphone, camera and screen. */
interface LocalConfig {
  view?: View;
  publish?: boolean;
  mute?: boolean | string;
  option?: object;
}

export class LocalStreams {
  private readonly previews = new Map<Local, Player>();

  /** `onTrack`: a track is new, or another one. */
  constructor(
    private readonly media: LocalMedia, private readonly outbox: Outbox, private readonly eventsOf: (streamType: TRTCStreamType) => PlayerEvents,
    private readonly onTrack: (source: Source, track: MediaStreamTrack) => void,
  ) {}

  async start(
    source: Source, fnName: string, config: LocalConfig, track: MediaStreamTrack | undefined, options: CaptureOptions,
  ): Promise<void> {
    if (this.media.track(source)) throw refuse('INVALID_OPERATION', fnName, 'it has been started already', EXTRA.REPEATED);
    if (source !== 'audio') this.player(source).setViews(config.view, fnName);
    await this.outbox.hold(source, config.publish === false);
    try {
      if (track) await this.media.adopt(source, track);
      else await this.media.start(source, options);
    } catch (error) {
      this.preview(source)?.stop();
      throw error;
    }
    await this.configure(source, config, fnName);
  }

  async update(
    source: Source, fnName: string, config: LocalConfig, track: MediaStreamTrack | undefined, options: CaptureOptions,
  ): Promise<void> {
    if (!this.media.track(source)) throw refuse('INVALID_OPERATION', fnName, 'it has not been started');
    if (track) await this.media.adopt(source, track);
    else if (Object.keys(options).length > 0) await this.media.change(source, options);
    if (config.publish !== undefined) await this.outbox.hold(source, !config.publish);
    await this.configure(source, config, fnName);
  }

  async stop(source: Source): Promise<void> {
    await this.media.stop(source);
    this.preview(source)?.stop();
  }

  show(source: Source, track: MediaStreamTrack): void {
    if (source !== 'audio') this.player(source).setTrack(track);
    this.onTrack(source, track);
  }

  preview(source: Source): Player | undefined {
    return source === 'audio' ? undefined : this.previews.get(source);
  }

  /** Ends all previews. */
  close(): void {
    for (const player of this.previews.values()) player.stop();
  }

  private async configure(source: Source, { view, mute, option }: LocalConfig, fnName: string): Promise<void> {
    if (mute !== undefined) await this.media.mute(source, mute !== false);
    const track = this.media.track(source);
    if (source !== 'audio') {
      const player = this.player(source);
      player.setViews(view, fnName);
      const { mirror, fillMode } = (option ?? {}) as { fillMode?: Look['fillMode']; mirror?: boolean | string };
      player.setLook({ fillMode, ...(mirror === undefined ? {} : { mirror: mirror !== false && mirror !== 'publish' }) });
    }
    if (track) this.show(source, track);
  }

  private player(source: Local): Player {
    const known = this.previews.get(source);
    if (known) return known;
    const look: Look = source === 'screen' ? { fillMode: 'contain', mirror: false } : { fillMode: 'cover', mirror: true };
    const player = new Player(this.eventsOf(streamTypeOf(source)), look);
    this.previews.set(source, player);
    return player;
  }
}
