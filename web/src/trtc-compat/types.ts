// The shapes of options and events.

import type {
  BannedReason, ConnectionState, NetworkQualityValue, PEER_LEAVE_REASON, PlayerState, Scene, TRTCDeviceAction, TRTCDeviceType, TRTCEvent,
  TRTCStreamType, TRTCVideoType, UserRole, audioProfileMap, screenProfileMap, videoProfileMap,
} from './constants';
import type { CdnStream } from '../sdk/types';
import type { RtcError } from './error';

export type View = string | HTMLElement | HTMLElement[] | null;
type Fill = 'contain' | 'cover' | 'fill';

export interface VideoProfile {
  width: number;
  height: number;
  frameRate: number;
  bitrate: number;
}

export interface AudioProfile {
  sampleRate: number;
  channelCount: number;
  bitrate: number;
}

export interface TRTCOptions {
  plugins?: unknown[];
  enableSEI?: boolean;
  enableAutoPlayDialog?: boolean;
  assetsPath?: string;
  volumeType?: number;
  enableAutoSwitchWhenRecapturing?: boolean;
  enableVolumeControlInIOS?: boolean;
}

export interface ProxyServer {
  /** The address of the Rotunda server's WebSocket. */
  websocketProxy?: string;
  loggerProxy?: string;
  turnServer?: TurnServerOptions | TurnServerOptions[];
  iceTransportPolicy?: RTCIceTransportPolicy;
  webtransportProxy?: string;
  scheduleProxy?: string;
  unifiedProxy?: string;
}

export interface TurnServerOptions {
  url: string;
  username?: string;
  credential?: string;
  credentialType?: 'password';
}

export interface PlayoutDelay {
  min: number;
  max: number;
}

export interface EnterRoomConfig {
  sdkAppId: number;
  userId: string;
  userSig: string;
  roomId?: number;
  strRoomId?: string;
  role?: UserRole;
  autoReceiveAudio?: boolean;
  autoReceiveVideo?: boolean;
  privateMapKey?: string;
  latencyLevel?: number;
  businessInfo?: string;
  enableAutoPlayDialog?: boolean;
  proxy?: ProxyServer | string;
  scene?: Scene;
  userDefineRecordId?: string;
  playoutDelay?: PlayoutDelay;
  quickStart?: { remoteUserId: string; small?: boolean; domain?: string };
  /** Rotunda's own: relays this member's own media as this live stream. */
  streamId?: string;
}

export interface SwitchRoomConfig {
  roomId?: number;
  strRoomId?: string;
  privateMapKey?: string;
  userSig: string;
}

export interface LocalVideoConfig {
  view?: View;
  publish?: boolean;
  forcePublish?: boolean;
  mute?: boolean | string;
  option?: {
    cameraId?: string;
    useFrontCamera?: boolean;
    profile?: keyof typeof videoProfileMap | VideoProfile;
    fillMode?: Fill;
    mirror?: boolean | string;
    small?: keyof typeof videoProfileMap | VideoProfile | boolean;
    qosPreference?: 'smooth' | 'clear';
    videoTrack?: MediaStreamTrack;
    avoidCropping?: boolean;
    rotation?: 0 | 90 | 180 | 270;
  };
}

export interface LocalAudioConfig {
  publish?: boolean;
  mute?: boolean | 'microphone';
  muteKeepVolumeDetection?: boolean;
  option?: {
    microphoneId?: string;
    profile?: keyof typeof audioProfileMap;
    audioTrack?: MediaStreamTrack;
    captureVolume?: number;
    earMonitorVolume?: number;
    echoCancellation?: boolean | 'remote-only' | 'all';
    autoGainControl?: boolean;
    noiseSuppression?: boolean;
  };
}

export interface UpdateLocalAudioConfig extends LocalAudioConfig {}

export interface ScreenShareConfig {
  view?: View;
  publish?: boolean;
  streamType?: TRTCStreamType;
  muteSystemAudio?: boolean;
  option?: {
    profile?: keyof typeof screenProfileMap | VideoProfile;
    fillMode?: Fill;
    systemAudio?: boolean;
    echoCancellation?: boolean;
    autoGainControl?: boolean;
    noiseSuppression?: boolean;
    audioTrack?: MediaStreamTrack;
    videoTrack?: MediaStreamTrack;
    captureElement?: HTMLElement;
    preferDisplaySurface?: 'current-tab' | 'tab' | 'window' | 'monitor';
    selfBrowserSurface?: 'include' | 'exclude';
    qosPreference?: 'smooth' | 'clear';
  };
}

export interface UpdateScreenShareConfig extends ScreenShareConfig {}

export interface RemoteVideoConfig {
  view?: View;
  userId: string;
  streamType: TRTCStreamType;
  option?: {
    fillMode?: Fill;
    mirror?: boolean;
    small?: boolean;
    receiveWhenViewVisible?: boolean;
    viewRoot?: HTMLElement;
    canvasRender?: boolean;
    poster?: string;
    draggable?: boolean;
    pictureInPicture?: boolean;
    fullScreen?: boolean;
  };
}

export interface StopRemoteVideoConfig {
  userId: string;
  streamType?: TRTCStreamType;
}

export interface VideoFrameConfig {
  userId?: string;
  streamType?: TRTCStreamType;
}

export interface TrackConfig extends VideoFrameConfig {
  processed?: boolean;
}

export interface PermissionOption {
  request?: boolean;
  types?: ('camera' | 'microphone')[];
}

export interface PermissionResult {
  camera: PermissionState | null;
  microphone: PermissionState | null;
}

export interface CustomMessageData {
  cmdId: number;
  data: ArrayBuffer;
}

export interface CustomMessage extends CustomMessageData {
  userId: string;
  seq: number;
}

export interface NetworkQuality {
  uplinkNetworkQuality: NetworkQualityValue;
  downlinkNetworkQuality: NetworkQualityValue;
  uplinkRTT: number;
  uplinkLoss: number;
  downlinkRTT: number;
  downlinkLoss: number;
}

interface VideoStatistic {
  width: number;
  height: number;
  frameRate: number;
  bitrate: number;
  videoType: TRTCVideoType;
}

export interface LocalStatistic {
  audio: { bitrate: number; audioLevel: number };
  video: VideoStatistic[];
}

export interface RemoteStatistic {
  audio: { bitrate: number; audioLevel: number; jitterBufferDelay: number };
  video: (VideoStatistic & { jitterBufferDelay: number })[];
  userId: string;
}

export interface TRTCStatistics {
  rtt: number;
  downLoss: number;
  upLoss: number;
  bytesSent: number;
  bytesReceived: number;
  localStatistics: LocalStatistic;
  remoteStatistics: RemoteStatistic[];
}

interface User { userId: string }
interface Video extends User { streamType: TRTCStreamType }
export type MediaType = 'audio' | 'video' | 'screen';
export type PublishState = 'started' | 'stopped' | 'starting';

export interface TRTCEventTypes {
  [TRTCEvent.ERROR]: [RtcError];
  [TRTCEvent.AUTOPLAY_FAILED]: [{ userId: string; mediaType: MediaType; resume: () => Promise<void> }];
  [TRTCEvent.KICKED_OUT]: [{ reason: Exclude<BannedReason, 'user_time_out'> }];
  [TRTCEvent.REMOTE_USER_ENTER]: [User];
  [TRTCEvent.REMOTE_USER_EXIT]: [User & { reason?: PEER_LEAVE_REASON }];
  [TRTCEvent.REMOTE_AUDIO_AVAILABLE]: [User];
  [TRTCEvent.REMOTE_AUDIO_UNAVAILABLE]: [User];
  [TRTCEvent.REMOTE_VIDEO_AVAILABLE]: [Video];
  [TRTCEvent.REMOTE_VIDEO_UNAVAILABLE]: [Video];
  [TRTCEvent.AUDIO_VOLUME]: [{ result: { userId: string; volume: number; floatVolume: number }[] }];
  [TRTCEvent.NETWORK_QUALITY]: [NetworkQuality];
  [TRTCEvent.CONNECTION_STATE_CHANGED]: [{ prevState: ConnectionState; state: ConnectionState; isReconnecting?: boolean }];
  [TRTCEvent.AUDIO_PLAY_STATE_CHANGED]: [User & { state: PlayerState; reason: string }];
  [TRTCEvent.VIDEO_PLAY_STATE_CHANGED]: [Video & { state: PlayerState; reason: string }];
  [TRTCEvent.SCREEN_SHARE_STOPPED]: [];
  [TRTCEvent.DEVICE_CHANGED]: [{ type: TRTCDeviceType; action: TRTCDeviceAction; device: MediaDeviceInfo }];
  [TRTCEvent.PUBLISH_STATE_CHANGED]: [{
    mediaType: MediaType; state: PublishState; prevState: PublishState; reason?: 'timeout' | 'error' | 'api-call'; error?: RtcError;
  }];
  [TRTCEvent.TRACK]: [User & { streamType?: TRTCStreamType; track: MediaStreamTrack; sourceTrack: MediaStreamTrack }];
  [TRTCEvent.STATISTICS]: [statistics: TRTCStatistics];
  [TRTCEvent.SEI_MESSAGE]: [Video & { data: ArrayBuffer; seiPayloadType: number }];
  [TRTCEvent.CUSTOM_MESSAGE]: [CustomMessage];
  [TRTCEvent.FIRST_VIDEO_FRAME]: [Video & { width: number; height: number }];
  [TRTCEvent.PERMISSION_STATE_CHANGE]: [{ camera: PermissionState; microphone: PermissionState }];
  /** Rotunda's own: a push of the plugin CDNStreaming to another server has another state. */
  'cdn-stream-state-changed': [CdnStream];
  [TRTCEvent.VIDEO_SIZE_CHANGED]: [Video & { newWidth: number; newHeight: number }];
}
