// The videos of others that the application has started.

import { fit } from '../sdk/adaptive';
import type { Remote, Room } from '../sdk/room';
import type { TRTCStreamType } from './constants';
import { slotOf } from './convert';
import { Player, videoKey, type PlayerEvents } from './player';
import type { RemoteVideoConfig } from './types';

/** Pixels of what TRTC calls the small stream. */
const SMALL = 180;

interface Started {
  userId: string;
  streamType: TRTCStreamType;
  player: Player;
  stopFitting?: () => void;
}

type Listener = (userId: string, streamType: TRTCStreamType) => Partial<PlayerEvents>;

export class RemoteVideos {
  private readonly started = new Map<string, Started>();

  constructor(private readonly room: Room, private readonly listen: Listener) {
    room.on('remotes', (remotes) => this.draw(remotes));
  }

  async start(config: RemoteVideoConfig, fnName: string): Promise<void> {
    const { userId, streamType } = config;
    const key = videoKey(userId, streamType);
    const known = this.started.get(key);
    const one = known ?? {
      userId, streamType, player: new Player(this.listen(userId, streamType), { fillMode: streamType === 'sub' ? 'contain' : 'cover', mirror: false }),
    };
    this.apply(one, config, fnName);
    this.started.set(key, one);
    try {
      const slot = slotOf(userId, streamType);
      if (config.option?.small) await this.room.requestVideo(slot, SMALL);
      else if (!known) await this.room.requestVideo(slot);
    } catch (error) {
      if (!known) this.forget(one);
      throw error;
    }
    this.adapt(one, config);
    this.draw(this.room.remotes);
  }

  has(userId: string, streamType: TRTCStreamType): boolean {
    return this.started.has(videoKey(userId, streamType));
  }

  async stop(userId: string, streamType?: TRTCStreamType): Promise<void> {
    for (const one of [...this.started.values()]) {
      if (userId !== '*' && one.userId !== userId) continue;
      if (streamType && one.streamType !== streamType && userId !== '*') continue;
      this.forget(one);
      await this.room.cancelVideo(slotOf(one.userId, one.streamType));
    }
  }

  /** The member sends it no more. */
  end(userId: string, streamType: TRTCStreamType): void {
    const one = this.started.get(videoKey(userId, streamType));
    if (!one) return;
    this.forget(one);
    void this.room.cancelVideo(slotOf(userId, streamType));
  }

  close(): void {
    for (const one of [...this.started.values()]) this.forget(one);
  }

  player(userId: string, streamType: TRTCStreamType): Player | undefined {
    return this.started.get(videoKey(userId, streamType))?.player;
  }

  private apply({ player }: Started, { view, option }: RemoteVideoConfig, fnName: string): void {
    player.setViews(view, fnName);
    player.setLook({ fillMode: option?.fillMode, mirror: option?.mirror });
  }

  /** One view of a video chooses its layer by its size; the small stream, and several views, keep one size. */
  private adapt(one: Started, { option }: RemoteVideoConfig): void {
    one.stopFitting?.();
    one.stopFitting = undefined;
    const element = one.player.only;
    if (element && !option?.small) one.stopFitting = fit(this.room, slotOf(one.userId, one.streamType), element);
  }

  private forget(one: Started): void {
    one.stopFitting?.();
    one.player.stop();
    this.started.delete(videoKey(one.userId, one.streamType));
  }

  private draw(remotes: Remote[]): void {
    for (const { userId, streamType, player } of this.started.values()) {
      const { source } = slotOf(userId, streamType);
      player.setTrack(remotes.find((one) => one.userId === userId && one.source === source)?.track);
    }
  }
}
