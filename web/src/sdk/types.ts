// The client protocol, as docs/signaling.md has it.

export type Source = 'audio' | 'camera' | 'screen';
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

export interface Speaker {
  userId: string;
  volume: number;
}

export type ServerEvent =
  | { event: 'memberEntered'; userId: string }
  | { event: 'memberLeft'; userId: string }
  | { event: 'memberCount'; count: number }
  | ({ event: 'publishing' } & Publisher)
  | { event: 'slots'; audio: (string | null)[]; video: (Slot | null)[] }
  | { event: 'speakers'; speakers: Speaker[] }
  | { event: 'mediaState'; state: 'connected' | 'disconnected' }
  | { event: 'mix'; mix: Mix | null }
  | { event: 'kicked'; reason: 'kick' | 'banned' | 'room_disband' | 'shutdown' };

/** A refusal of the server; `code` is stable. */
export class RotundaError extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
    this.name = 'RotundaError';
  }
}
