// The public part of the SDK; see docs/sdk.md.

export { fit, wantedHeight } from './adaptive';
export { canShareScreen, capture, listDevices, watchDevices, type CaptureOptions, type DeviceChange } from './devices';
export type { CustomMessage } from './custom_messages';
export { Emitter } from './emitter';
export type { Codec } from './layers';
export { LocalMedia, type Lost, type Publishing } from './local_media';
export { Voices, attach, canSetOutput, type AttachOptions, type Blocked } from './playback';
export type { Processed, Processor } from './processor';
export type { StreamProfile } from './profile';
export { Room, type Remote } from './room';
export type { RoomOptions } from './room_options';
export type { FrameTransform } from './session';
export type { Credentials } from './signaling';
export type { AudioStatistics, LocalStatistics, RemoteStatistics, Statistics, VideoStatistics } from './statistics';
export {
  RotundaError, placeholders, type CdnStream, type Mix, type MixUser, type NetworkQuality, type Permissions, type Publisher, type Quality, type Role,
  type ServerStatistics, type Slot, type Source, type Speaker, type Template, type TrackState, type TranscodingConfig, type Undecodable,
  type WaitingRoom, type WaitingUser,
} from './types';
export { Moderation } from './waiting_room';
