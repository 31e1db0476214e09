// The plugin CDNStreaming: a mix of the room as a live stream.

import type { MixUser, TranscodingConfig } from '../sdk/types';
import type { TRTCStreamType } from './constants';
import { refuse } from './error';

export const PublishMode = {
  PublishMainStreamToCDN: 'PublishMainStreamToCDN',
  PublishSubStreamToCDN: 'PublishSubStreamToCDN',
  PublishMixStreamToCDN: 'PublishMixStreamToCDN',
} as const;
export type PublishMode = (typeof PublishMode)[keyof typeof PublishMode];

export interface Target {
  publishMode: PublishMode;
  streamId?: string;
  appId?: number;
  bizId?: number;
  url?: string;
}

export interface Encoding {
  videoWidth?: number;
  videoHeight?: number;
  videoBitrate?: number;
  videoFramerate?: number;
  videoGOP?: number;
  audioSampleRate?: number;
  audioBitrate?: number;
  audioChannels?: 1 | 2;
}

export interface User {
  userId: string;
  roomId?: number;
  strRoomId?: string;
}

export interface VideoLayout {
  fixedVideoUser?: User;
  /** As older samples write it, in place of `fixedVideoUser`. */
  userId?: string;
  fixedVideoStreamType?: TRTCStreamType;
  fillMode?: 0 | 1 | 2;
  width?: number;
  height?: number;
  locationX?: number;
  locationY?: number;
  zOrder?: number;
}

export interface Mix {
  backgroundColor?: number;
  backgroundImage?: string;
  audioMixUserList?: User[];
  videoLayoutList?: VideoLayout[];
}

export interface CDNStreamingOptions {
  target: Target;
  encoding?: Encoding;
  mix?: Mix;
}

/** Applications import it from `plugins/cdn-streaming` and give it to `TRTC.create`; the plugin is always there. */
export class CDNStreaming {
  static TYPE = { PublishMode };
}

/** The mix that the server is asked for. Throws if the server cannot do it for a client. */
export function mixOf({ target, encoding = {}, mix = {} }: CDNStreamingOptions, fnName: string): TranscodingConfig {
  // Older samples write it with a small letter.
  if (target.publishMode.toLowerCase() !== 'publishmixstreamtocdn') {
    throw refuse('ENV_NOT_SUPPORTED', fnName, `${target.publishMode}: give streamId to enterRoom, which relays this member's own media as that live stream`);
  }
  if (target.url) throw refuse('ENV_NOT_SUPPORTED', fnName, 'target.url: ask your server to push the stream with the server API StartPublishCdnStream');
  const cells = (mix.videoLayoutList ?? []).map((cell): MixUser => ({
    userId: cell.fixedVideoUser?.userId ?? cell.userId ?? '',
    x: cell.locationX, y: cell.locationY, width: cell.width, height: cell.height, zOrder: cell.zOrder,
    streamType: cell.fixedVideoStreamType === 'sub' ? 'sub' : 'big',
    renderMode: cell.fillMode,
  }));
  const seen = new Set(cells.map(({ userId }) => userId));
  const voices = (mix.audioMixUserList ?? []).filter(({ userId }) => !seen.has(userId));
  return {
    mode: 'manual',
    streamId: target.streamId,
    ...encoding,
    backgroundColor: mix.backgroundColor,
    backgroundImage: mix.backgroundImage,
    mixUsers: [...cells, ...voices.map(({ userId }): MixUser => ({ userId, pureAudio: true }))],
  };
}
