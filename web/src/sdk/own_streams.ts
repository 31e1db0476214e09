// What this member makes of the room or of their own media on the server: a mix, and pushes to other servers.

import type { Signaling } from './signaling';
import type { CdnStream, TranscodingConfig } from './types';

export class OwnStreams {
  private mix: TranscodingConfig | null = null;
  /** Addresses, by source. */
  private readonly pushes = new Map<CdnStream['source'], string>();

  constructor(private readonly signaling: Pick<Signaling, 'request'>) {}

  async setMix(config: TranscodingConfig | null): Promise<void> {
    await this.signaling.request('setMixTranscodingConfig', { config });
    this.mix = config;
    // The push of a mix ends with it.
    if (!config) this.pushes.delete('mix');
  }

  async push(source: CdnStream['source'], url: string): Promise<void> {
    await this.signaling.request('startPublishCdnStream', { source, url });
    this.pushes.set(source, url);
  }

  async endPush(source: CdnStream['source']): Promise<void> {
    this.pushes.delete(source);
    await this.signaling.request('stopPublishCdnStream', { source });
  }

  handle({ source, state }: CdnStream): void {
    if (state === 'ended') this.pushes.delete(source);
  }

  /** The requests that make everything as it was, after another login. */
  *again(): Iterable<[op: string, fields: Record<string, unknown>]> {
    if (this.mix) yield ['setMixTranscodingConfig', { config: this.mix }];
    for (const [source, url] of this.pushes) yield ['startPublishCdnStream', { source, url }];
  }
}
