// The client protocol; see docs/signaling.md.

export type Source = 'audio' | 'camera' | 'screen';
export type Role = 'anchor' | 'audience';
export type TrackState = 'on' | 'muted';
export type Template = 'float' | 'grid' | 'screen_share' | 'picture_in_picture' | 'custom';

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
  notMixable?: { userId: string; source: Source; codec: string }[];
}

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
  | ({ event: 'permissions' } & Permissions)
  | { event: 'speakers'; speakers: Speaker[] }
  | { event: 'mediaState'; state: 'connected' | 'disconnected' }
  | { event: 'codecNotSupported'; userId: string; source: Source; codec: string }
  | { event: 'layers'; source: Source; active: string[] }
  | { event: 'spatialLayers'; source: Source; maxHeight?: number }
  | ({ event: 'networkQuality' } & NetworkQuality)
  | { event: 'customMessage'; userId: string; cmdId: number; seq: number; data: string }
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
    jitter: number; keyframeRequests: number; height?: number;
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
