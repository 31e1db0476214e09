// The protocol at `/calls`, and the parameters of the component. See docs/calls.md.

export type Media = 'audio' | 'video';

/** As in the contract: 1 is an audio call, 2 a video call. */
export type CallType = 1 | 2;

export type PartyState =
  | 'ringing' | 'joined' | 'rejected' | 'busy' | 'noAnswer' | 'offline' | 'cancelled' | 'left' | 'lost';

export interface Party {
  userId: string;
  invitedBy: string;
  state: PartyState;
  /** Of this user's own device that has joined or rejected. */
  deviceId?: string;
}

export type EndReason = 'hangUp' | 'rejected' | 'noAnswer' | 'offline' | 'busy' | 'cancelled' | 'lost';

/** A call as this user sees it. */
export interface CallView {
  callId: string;
  /** Of two views of a call the one with the higher version is newer. */
  version: number;
  /** Of the media. */
  roomId: string;
  inviter: string;
  media: Media;
  isGroup: boolean;
  groupId?: string;
  userData?: string;
  /** Milliseconds since the first answer. */
  answeredForMs?: number;
  /** In the order in which they were invited; the inviter is first. */
  parties: Party[];
  /** Absent: it runs. */
  ended?: { reason: EndReason; durationMs: number };
}

export interface Profile {
  userId: string;
  nickname: string;
  avatarUrl: string;
  /** Only in the own profile. */
  bellUrl?: string;
}

export interface MissedCall {
  callId: string;
  inviter: string;
  media: Media;
  isGroup: boolean;
  /** Unix milliseconds. */
  atMs: number;
}

export interface Presence {
  userId: string;
  state: 'offline' | 'online' | 'inCall';
}

export interface Identity {
  sdkAppId: number;
  userId: string;
  userSig: string;
}

/** Parameters of a call to one user. */
export interface CallOptions {
  userID: string;
  type: CallType;
  /** For the invitee; at most 2048 bytes. */
  userData?: string;
  /** Seconds; 0: never. The server's setting (30) by default. */
  timeout?: number;
}

/** Parameters of a call to several users. */
export interface GroupCallOptions {
  userIDList: string[];
  type: CallType;
  /** Users of the application who know it may join. */
  groupID?: string;
  userData?: string;
  timeout?: number;
}

export const mediaOf = (type: CallType): Media => (type === 1 ? 'audio' : 'video');
export const typeOf = (media: Media): CallType => (media === 'audio' ? 1 : 2);
