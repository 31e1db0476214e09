// Profiles, statistics and qualities of TRTC and of the SDK, into each other. Pure.

import type { CaptureOptions } from '../sdk/devices';
import type { Statistics, VideoStatistics } from '../sdk/statistics';
import type { NetworkQuality as SdkQuality, Slot, Source, Speaker } from '../sdk/types';
import { audioProfileMap, screenProfileMap, videoProfileMap, type TRTCStreamType, type TRTCVideoType } from './constants';
import type { LocalAudioConfig, LocalVideoConfig, MediaType, NetworkQuality, ScreenShareConfig, TRTCStatistics } from './types';

export const mediaTypes: Record<Source, MediaType> = { audio: 'audio', camera: 'video', screen: 'screen' };

export function slotOf(userId: string, streamType: TRTCStreamType): Slot {
  return { userId, source: streamType === 'sub' ? 'screen' : 'camera' };
}

export function streamTypeOf(source: Source): TRTCStreamType {
  return source === 'screen' ? 'sub' : 'main';
}

export function cameraOptions({ cameraId, useFrontCamera, profile = '480p' }: NonNullable<LocalVideoConfig['option']>): CaptureOptions {
  const { width, height, frameRate } = typeof profile === 'string' ? videoProfileMap[profile] : profile;
  const facingMode = useFrontCamera === undefined ? undefined : useFrontCamera ? 'user' : 'environment';
  return { width, height, frameRate, ...(cameraId ? { deviceId: cameraId } : {}), ...(facingMode ? { facingMode } : {}) };
}

export function screenOptions({ profile = '1080p' }: NonNullable<ScreenShareConfig['option']>): CaptureOptions {
  const { width, height, frameRate } = typeof profile === 'string' ? screenProfileMap[profile] : profile;
  return { width, height, frameRate };
}

export function microphoneOptions(option: NonNullable<LocalAudioConfig['option']>): CaptureOptions {
  const { microphoneId, profile, echoCancellation, noiseSuppression, autoGainControl } = option;
  return {
    ...(microphoneId ? { deviceId: microphoneId } : {}),
    ...(profile ? { channelCount: audioProfileMap[profile].channelCount } : {}),
    ...(echoCancellation === undefined ? {} : { echoCancellation: echoCancellation !== false }),
    ...(noiseSuppression === undefined ? {} : { noiseSuppression }),
    ...(autoGainControl === undefined ? {} : { autoGainControl }),
  };
}

/** Unknown values are 0 there. */
export function qualityOf({ uplinkRTT = 0, downlinkRTT = 0, ...quality }: SdkQuality): NetworkQuality {
  return { ...quality, uplinkRTT, downlinkRTT };
}

/** `volumes`: of the others, 0 to 100. */
export function statisticsOf({ localStatistics: local, remoteStatistics, ...rest }: Statistics, volumes: Speaker[]): TRTCStatistics {
  const level = (userId: string) => (volumes.find((one) => one.userId === userId)?.volume ?? 0) / 100;
  return {
    ...rest,
    localStatistics: {
      audio: { bitrate: local.audio?.bitrate ?? 0, audioLevel: local.audio?.level ?? 0 },
      video: local.video.map((one) => ({ ...sizes(one), videoType: kindOf(one, local.video) })),
    },
    remoteStatistics: remoteStatistics.map(({ userId, audio, video }) => ({
      userId,
      audio: { bitrate: audio?.bitrate ?? 0, audioLevel: level(userId), jitterBufferDelay: audio?.jitterBufferDelay ?? 0 },
      video: video.map((one) => ({ ...sizes(one), videoType: kindOf(one, [one]), jitterBufferDelay: one.jitterBufferDelay ?? 0 })),
    })),
  };
}

function sizes({ width, height, frameRate, bitrate }: VideoStatistics) {
  return { width, height, frameRate, bitrate };
}

/** Of the layers of a camera the largest one is `big`. */
function kindOf(one: VideoStatistics, all: VideoStatistics[]): TRTCVideoType {
  if (one.videoType === 'sub') return 'sub';
  const largest = Math.max(...all.filter(({ videoType }) => videoType === 'main').map(({ height }) => height));
  return one.height === largest ? 'big' : 'small';
}
