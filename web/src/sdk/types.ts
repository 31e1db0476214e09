// The client protocol, as docs/signaling.md has it.

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
  /** Tracks that are missing in the mix, as the server cannot decode their codec. */
  notMixable?: { userId: string; source: TrackSource; codec: string }[];
}

export interface RoomView {
  roomId: number | string;
  members: string[];
  memberCount: number;
  publishers: Publisher[];
  mix?: Mix;
}

/** Which line (by mid) of the offer is for what. */
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

/** Sources that this member may send, and receive of others. */
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

/** Round trips in milliseconds (absent: not measured), losses in percent. Uplink: from here to the server. */
export interface NetworkQuality {
  uplinkNetworkQuality: Quality;
  downlinkNetworkQuality: Quality;
  uplinkRTT?: number;
  uplinkLoss: number;
  downlinkRTT?: number;
  downlinkLoss: number;
}

/** How this member's media fares, as the server measures it over two seconds. */
export interface ServerStatistics extends NetworkQuality {
  /** Bits a second; absent: not known. */
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

/** Somebody sends what this browser cannot decode; his picture will not come. */
export interface Undecodable extends Slot {
  codec: string;
}

/** A refusal of the server; `code` is stable. */
export class RotundaError extends Error {
  /** `about`: of `codec_not_supported`. */
  constructor(readonly code: string, message: string, readonly about?: Undecodable) {
    super(message);
    this.name = 'RotundaError';
  }
}
