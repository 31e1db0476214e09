// The event audio-volume.

import type { Room } from '../sdk/room';
import { volumeOf } from '../sdk/session';

export interface Volume {
  /** Empty: the own one. */
  userId: string;
  volume: number;
  floatVolume: number;
}

/** Milliseconds. */
const SHORTEST = 100;

export class VolumeMeter {
  private timer?: ReturnType<typeof setInterval>;

  constructor(private readonly tell: (result: Volume[]) => void) {}

  start(interval: number, inBackground: boolean, room: () => Room | undefined): void {
    this.stop();
    if (!(interval > 0)) return;
    this.timer = setInterval(() => {
      const present = room();
      if (present && (inBackground || document.visibilityState === 'visible')) void this.measure(present);
    }, Math.max(SHORTEST, interval));
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async measure(room: Room): Promise<void> {
    const report = await room.session?.connection.getStats();
    let own = 0;
    report?.forEach(({ type, kind, audioLevel = 0 }: { type: string; kind?: string; audioLevel?: number }) => {
      if (type === 'media-source' && kind === 'audio') own = audioLevel;
    });
    const result = [{ userId: '', volume: volumeOf(own) }, ...room.volumes()];
    this.tell(result.map(({ userId, volume }) => ({ userId, volume, floatVolume: volume })));
  }
}
