// Names and values that applications written for the SDK of TRTC use; facts of its interface, see docs/moving-from-trtc.md.

export const TRTCEvent = {
  ERROR: 'error',
  AUTOPLAY_FAILED: 'autoplay-failed',
  KICKED_OUT: 'kicked-out',
  REMOTE_USER_ENTER: 'remote-user-enter',
  REMOTE_USER_EXIT: 'remote-user-exit',
  REMOTE_AUDIO_AVAILABLE: 'remote-audio-available',
  REMOTE_AUDIO_UNAVAILABLE: 'remote-audio-unavailable',
  REMOTE_VIDEO_AVAILABLE: 'remote-video-available',
  REMOTE_VIDEO_UNAVAILABLE: 'remote-video-unavailable',
  AUDIO_VOLUME: 'audio-volume',
  NETWORK_QUALITY: 'network-quality',
  CONNECTION_STATE_CHANGED: 'connection-state-changed',
  AUDIO_PLAY_STATE_CHANGED: 'audio-play-state-changed',
  VIDEO_PLAY_STATE_CHANGED: 'video-play-state-changed',
  SCREEN_SHARE_STOPPED: 'screen-share-stopped',
  DEVICE_CHANGED: 'device-changed',
  PUBLISH_STATE_CHANGED: 'publish-state-changed',
  TRACK: 'track',
  STATISTICS: 'statistics',
  SEI_MESSAGE: 'sei-message',
  CUSTOM_MESSAGE: 'custom-message',
  FIRST_VIDEO_FRAME: 'first-video-frame',
  PERMISSION_STATE_CHANGE: 'permission-state-change',
  VIDEO_SIZE_CHANGED: 'video-size-changed',
} as const;

export const TRTCType = {
  SCENE_LIVE: 'live',
  SCENE_RTC: 'rtc',
  ROLE_ANCHOR: 'anchor',
  ROLE_AUDIENCE: 'audience',
  STREAM_TYPE_MAIN: 'main',
  STREAM_TYPE_SUB: 'sub',
  AUDIO_PROFILE_STANDARD: 'standard',
  AUDIO_PROFILE_STANDARD_STEREO: 'standard-stereo',
  AUDIO_PROFILE_HIGH: 'high',
  AUDIO_PROFILE_HIGH_STEREO: 'high-stereo',
  QOS_PREFERENCE_SMOOTH: 'smooth',
  QOS_PREFERENCE_CLEAR: 'clear',
  SPEAKER: 'Speakerphone',
  HEADSET: 'Headset earpiece',
} as const;

const profile = (width: number, height: number, frameRate: number, bitrate: number) => ({ width, height, frameRate, bitrate }) as const;

export const videoProfileMap = {
  '120p': profile(160, 120, 15, 200),
  '180p': profile(320, 180, 15, 350),
  '240p': profile(320, 240, 15, 400),
  '360p': profile(640, 360, 15, 800),
  '480p': profile(640, 480, 15, 900),
  '720p': profile(1280, 720, 15, 1500),
  '1080p': profile(1920, 1080, 15, 2000),
  '1440p': profile(2560, 1440, 30, 4860),
  '4K': profile(3840, 2160, 30, 9000),
} as const;

export const screenProfileMap = {
  '480p': profile(640, 480, 5, 900),
  '480p_2': profile(640, 480, 30, 1000),
  '720p': profile(1280, 720, 5, 1200),
  '720p_2': profile(1280, 720, 30, 3000),
  '1080p': profile(1920, 1080, 5, 1600),
  '1080p_2': profile(1920, 1080, 30, 4000),
} as const;

const voice = (channelCount: 1 | 2, bitrate: number) => ({ sampleRate: 48000, channelCount, bitrate }) as const;

export const audioProfileMap = {
  standard: voice(1, 40),
  'standard-stereo': voice(2, 64),
  high: voice(1, 192),
  'high-stereo': voice(2, 192),
} as const;

// Enumerations are objects with a type of the same name, so that code may use `TRTCStreamType.Main` or 'main'.
type Values<Enumeration> = Enumeration[keyof Enumeration];

export const Scene = { LIVE: 'live', RTC: 'rtc' } as const;
export type Scene = Values<typeof Scene>;
export const UserRole = { ANCHOR: 'anchor', AUDIENCE: 'audience' } as const;
export type UserRole = Values<typeof UserRole>;
export const TRTCStreamType = { Main: 'main', Sub: 'sub' } as const;
export type TRTCStreamType = Values<typeof TRTCStreamType>;
export const TRTCVideoType = { Big: 'big', Small: 'small', Sub: 'sub' } as const;
export type TRTCVideoType = Values<typeof TRTCVideoType>;
export const TRTCDeviceType = { Camera: 'camera', Microphone: 'microphone', Speaker: 'speaker' } as const;
export type TRTCDeviceType = Values<typeof TRTCDeviceType>;
export const TRTCDeviceAction = { Remove: 'remove', Add: 'add', Active: 'active' } as const;
export type TRTCDeviceAction = Values<typeof TRTCDeviceAction>;
export const PlayerState = { PAUSED: 'PAUSED', PLAYING: 'PLAYING', STOPPED: 'STOPPED' } as const;
export type PlayerState = Values<typeof PlayerState>;
export const ConnectionState = {
  CONNECTED: 'CONNECTED', DISCONNECTED: 'DISCONNECTED', CONNECTING: 'CONNECTING', RECONNECTED: 'RECONNECTED', RECONNECTING: 'RECONNECTING',
} as const;
export type ConnectionState = Values<typeof ConnectionState>;
export const BannedReason = { BANNED: 'banned', KICK: 'kick', USER_TIME_OUT: 'user_time_out', ROOM_DISBAND: 'room_disband' } as const;
export type BannedReason = Values<typeof BannedReason>;
export const PEER_LEAVE_REASON = { NORMAL_LEAVE: 0, TIMEOUT_LEAVE: 1, KICK: 2, ROLE_CHANGE: 3 } as const;
export type PEER_LEAVE_REASON = Values<typeof PEER_LEAVE_REASON>;
export const NetworkQualityValue = { UNKNOWN: 0, EXCELLENT: 1, GOOD: 2, POOR: 3, BAD: 4, VERY_BAD: 5, DISCONNECTED: 6 } as const;
export type NetworkQualityValue = Values<typeof NetworkQualityValue>;
export const LOG_LEVEL = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, NONE: 5 } as const;
export type LOG_LEVEL = Values<typeof LOG_LEVEL>;
