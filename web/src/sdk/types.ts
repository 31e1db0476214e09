// The client protocol; see docs/signaling.md.

export type Source = 'audio' | 'camera' | 'screen';
export type Role = 'anchor' | 'audience';
export type TrackState = 'on' | 'muted';
export type Template = 'float' | 'grid' | 'screen_share' | 'picture_in_picture' | 'custom' | 'presenter';

export interface Publisher {
  userId: string;
  audio?: TrackState;
  camera?: TrackState;
  screen?: TrackState;
}

export interface Mix {
  streamId: string;
  template: Template;
  /** Tracks that are missing in the mix, because the server cannot decode their codec. */
  notMixable?: { userId: string; roomId?: number | string; source: Source; codec: string }[];
}

/** A push of this member's own media, or of their mix, to another server. */
export interface CdnStream {
  source: 'camera' | 'screen' | 'mix';
  /**
   * `running`: the other server takes it. `recovering`: the connection is lost, and tried again. `failed`: there was none for a minute;
   * attempts go on. `waiting`: the source is not sent, or the mix does not run. `ended`: it is over.
   */
  state: 'connecting' | 'running' | 'recovering' | 'failed' | 'waiting' | 'ended';
  /** Of the last attempt that has failed. With `ended`: the push is `not_permitted` any more. */
  error?: { kind: 'address' | 'connection' | 'timeout' | 'refused' | 'protocol' | 'not_done' | 'not_permitted'; message: string };
}

/** The mix that a member asks for, with the fields of TRTC's `setMixTranscodingConfig`; see docs/signaling.md. */
export interface TranscodingConfig {
  mode: 'manual' | 'pureAudio' | 'presetLayout' | 'screenSharing';
  /** Default: `<sdkAppId>_<roomId>_<userId>_main`. */
  streamId?: string;
  /** Pixels. Both 0 (or absent) in the mode `screenSharing`: the size of the screen. */
  videoWidth?: number;
  videoHeight?: number;
  /** kbit/s; 0: by the size. */
  videoBitrate?: number;
  /** 1 to 30, default 15. */
  videoFramerate?: number;
  /** Seconds, 1 to 8, default 2. */
  videoGOP?: number;
  /** 0xRRGGBB. */
  backgroundColor?: number;
  /** Id of an uploaded picture. */
  backgroundImage?: string;
  audioSampleRate?: number;
  audioBitrate?: number;
  audioChannels?: number;
  mixUsers?: MixUser[];
}

/** A cell, in pixels from the top left of the canvas. */
export interface MixUser {
  /** A user, or in the mode `presetLayout` one of {@link placeholders}. */
  userId: string;
  /** The room of the user, or of the members who fill the cell; by default the caller's. */
  roomId?: number | string;
  x?: number;
  y?: number;
  width?: number;
  height?: number;
  /** Higher is in front; 0 to 15. */
  zOrder?: number;
  /** `sub`: the screen. */
  streamType?: 'big' | 'small' | 'sub';
  /** Only the audio, without a cell. */
  pureAudio?: boolean;
  /** 0: the frame fills the cell and is cut; 1: the whole frame; 2: the whole frame on black. */
  renderMode?: 0 | 1 | 2;
}

/** User ids of the mode `presetLayout`: the caller's camera, the caller's screen, and a remote member (one for each cell). */
export const placeholders = {
  localMain: '$PLACE_HOLDER_LOCAL_MAIN$',
  localSub: '$PLACE_HOLDER_LOCAL_SUB$',
  remote: '$PLACE_HOLDER_REMOTE$',
} as const;

export interface RoomView {
  roomId: number | string;
  members: string[];
  memberCount: number;
  publishers: Publisher[];
  mix?: Mix;
}

/** The purpose of each line (by mid) of the offer. */
export interface Lines {
  microphone?: string;
  camera?: string;
  screen?: string;
  audio: string[];
  video: string[];
}

export interface Slot {
  userId: string;
  source: Source;
}

/** Sources that this member may send, and receive from others. */
export interface Permissions {
  send: Source[];
  receive: Source[];
}

/** A user who waits to be admitted. */
export interface WaitingUser {
  userId: string;
  sinceUnixMs: number;
}

/** The waiting room, as moderators see it. */
export interface WaitingRoom {
  /** A moderator has switched it on. The application may require it as well. */
  required: boolean;
  /** Everybody who waits. */
  total: number;
  /** The first 20 of them, in the order of arrival. */
  users: WaitingUser[];
}

/** How far the admission of a user who has knocked is. */
export type Admission = { state: 'waiting' | 'refused' | 'expired' | 'room_ended' } | { state: 'admitted'; pass: string };

export interface Speaker {
  userId: string;
  volume: number;
}

export type ServerEvent =
  | { event: 'room'; room: RoomView }
  | { event: 'memberEntered'; userId: string }
  | { event: 'memberLeft'; userId: string }
  | { event: 'memberCount'; count: number }
  | ({ event: 'publishing' } & Publisher)
  | { event: 'slots'; audio: (string | null)[]; video: (Slot | null)[] }
  | ({ event: 'permissions'; moderate?: boolean } & Permissions)
  | ({ event: 'admission' } & Admission)
  | ({ event: 'waitingRoom' } & WaitingRoom)
  | { event: 'speakers'; speakers: Speaker[] }
  | { event: 'mediaState'; state: 'connected' | 'disconnected' }
  | { event: 'moveMedia' }
  | { event: 'codecNotSupported'; userId: string; source: Source; codec: string }
  | { event: 'layers'; source: Source; active: string[] }
  | { event: 'spatialLayers'; source: Source; maxHeight?: number }
  | ({ event: 'networkQuality' } & NetworkQuality)
  | { event: 'customMessage'; userId: string; cmdId: number; seq: number; data: string }
  | ({ event: 'cdnStreamState' } & CdnStream)
  | { event: 'mix'; mix: Mix | null }
  | { event: 'kicked'; reason: 'kick' | 'banned' | 'room_disband' | 'shutdown' };

/** 0 unknown, 1 excellent, 2 good, 3 poor, 4 bad, 5 very bad, 6 disconnected. */
export type Quality = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** Round-trip times in milliseconds (absent: not measured), losses in percent. Uplink: from this client to the server. */
export interface NetworkQuality {
  uplinkNetworkQuality: Quality;
  downlinkNetworkQuality: Quality;
  uplinkRTT?: number;
  uplinkLoss: number;
  downlinkRTT?: number;
  downlinkLoss: number;
}

/** Statistics of this member's media, measured by the server over two seconds. */
export interface ServerStatistics extends NetworkQuality {
  /** Bit/s; absent: not known. */
  downlinkEstimate?: number;
  downlinkWanted: number;
  pausedSlots: number;
  uplink: {
    source: Source; codec: string; rid?: string; bitrate: number; packets: number; lost: number; loss: number;
    jitter: number; keyframeRequests: number; height?: number; framerate?: number;
  }[];
  downlink: {
    userId: string; source: Source; codec?: string; rid?: string; height?: number; bitrate: number; packets: number;
    resent: number; loss: number; paused: boolean;
  }[];
}

/** A publisher sends a codec that this browser cannot decode; the source will not arrive. */
export interface Undecodable extends Slot {
  codec: string;
}

/** A refusal of the server; `code` is stable. */
export class RotundaError extends Error {
  /** `about`: only for `codec_not_supported`. */
  constructor(readonly code: string, message: string, readonly about?: Undecodable) {
    super(message);
    this.name = 'RotundaError';
  }
}
