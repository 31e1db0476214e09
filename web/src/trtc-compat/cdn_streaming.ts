// The plugin CDNStreaming: a mix of the room as a live stream, and this member's own stream or mix to another server.

import type { Room } from '../sdk/room';
import type { CdnStream, MixUser, TranscodingConfig } from '../sdk/types';
import type { TRTCStreamType } from './constants';
import { ERROR_CODE, RtcError, refuse } from './error';

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

/** By contract: a relay had no answer in time. */
const RELAY_TIMEOUT = -3321;

/** Applications import it from `plugins/cdn-streaming` and give it to `TRTC.create`; the plugin is always there. */
export class CDNStreaming {
  static TYPE = { PublishMode };
}

type Publishing = Pick<Room, 'setMixTranscodingConfig' | 'startPublishCDNStream' | 'stopPublishCDNStream'>;

/** Starts what the options say, or changes it. */
export async function publish(room: Publishing, options: CDNStreamingOptions, fnName: string): Promise<void> {
  const { target } = options;
  const source = sourceOf(target, fnName);
  if (source === 'mix') return publishMix(room, options, fnName);
  if (!target.url) {
    throw refuse('ENV_NOT_SUPPORTED', fnName, `${target.publishMode} without target.url: give streamId to enterRoom, which relays this member's own media as that live stream`);
  }
  await room.startPublishCDNStream({ source, url: target.url });
}

async function publishMix(room: Publishing, options: CDNStreamingOptions, fnName: string): Promise<void> {
  const { url } = options.target;
  await room.setMixTranscodingConfig(mixOf(options));
  if (!url) return room.stopPublishCDNStream('mix');
  try {
    await room.startPublishCDNStream({ source: 'mix', url });
  } catch (error) {
    // A start that is refused leaves nothing behind.
    if (fnName === 'startPlugin') await room.setMixTranscodingConfig(null);
    throw error;
  }
}

/** Ends what the options name; without options everything. The push of a mix ends with the mix. */
export async function end(room: Publishing, options: Partial<CDNStreamingOptions> | undefined, fnName: string): Promise<void> {
  const source = options?.target ? sourceOf(options.target, fnName) : 'mix';
  if (source !== 'mix') return room.stopPublishCDNStream(source);
  await room.setMixTranscodingConfig(null);
  if (options?.target) return;
  for (const each of ['camera', 'screen'] as const) await room.stopPublishCDNStream(each);
}

/** The error that an application is told of a push; undefined: it has not failed, or was ended by the member. */
export function failureOf({ source, state, error }: CdnStream): RtcError | undefined {
  const push = `the push of the ${source} to another server`;
  const message = state === 'failed' ? `${push} has no connection: ${error?.message ?? 'no reason is known'}; attempts go on`
    : state === 'ended' && error ? `${push} has ended: ${error.message}` : undefined;
  if (!message) return undefined;
  return new RtcError({ code: ERROR_CODE.OPERATION_FAILED, extraCode: RELAY_TIMEOUT, functionName: 'startPlugin', message });
}

/** What is pushed. */
function sourceOf({ publishMode }: Target, fnName: string): CdnStream['source'] {
  // Older samples write it with a small letter.
  switch (publishMode.toLowerCase()) {
    case 'publishmainstreamtocdn': return 'camera';
    case 'publishsubstreamtocdn': return 'screen';
    case 'publishmixstreamtocdn': return 'mix';
    default: throw refuse('INVALID_PARAMETER', fnName, `target.publishMode must be one of ${Object.values(PublishMode).join(', ')}, not ${publishMode}`);
  }
}

/** The mix that the server is asked for. */
export function mixOf({ target, encoding = {}, mix = {} }: CDNStreamingOptions): TranscodingConfig {
  const cells = (mix.videoLayoutList ?? []).map((cell): MixUser => ({
    userId: cell.fixedVideoUser?.userId ?? cell.userId ?? '',
    roomId: roomOf(cell.fixedVideoUser),
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
    mixUsers: [...cells, ...voices.map((user): MixUser => ({ userId: user.userId, roomId: roomOf(user), pureAudio: true }))],
  };
}

/** The room of a user, as `enterRoom` reads it: a number wins. Undefined: the caller's. */
function roomOf(user: User | undefined): number | string | undefined {
  return user?.roomId || user?.strRoomId || undefined;
}
