// How a room is entered.

import type { Codec } from './layers';
import type { Room } from './room';
import type { FrameTransform } from './session';
import type { Credentials } from './signaling';
import type { Role } from './types';

export interface RoomOptions {
  url: string;
  credentials: Credentials;
  roomId: number | string;
  /** `anchor`, which may send, by default. */
  role?: Role;
  /** A room ticket, if the application requires one. */
  privateMapKey?: string;
  /** Names the recording of this member's own media, and records it: at most 64 letters, digits, `_` and `-`. */
  userDefineRecordId?: string;
  /** Names the live stream of this member's own media, and relays it: at most 64 letters, digits, `_` and `-`. */
  streamId?: string;
  /** The codec to send; by default that of the application's profile, or the browser chooses. */
  codec?: Codec;
  /** Send the microphone in stereo: for music. The track needs two channels (`getUserMedia` with `channelCount: 2`). */
  stereo?: boolean;
  /** Request the videos of others without being asked, up to the limits; true by default. See {@link Room.requestVideo}. */
  autoVideo?: boolean;
  /**
   * The user waits until a moderator admits them; {@link Room.enter} resolves then, and rejects with `entry_refused`, `entry_expired` or
   * `room_ended`. Without it, a room with a waiting room rejects at once with `admission_required`.
   */
  onWaiting?: () => void;
  /** Ends the waiting; {@link Room.enter} rejects with `aborted`. */
  signal?: AbortSignal;
  /** {@link Room.pass} of an earlier stay in this room, which lets the user past the waiting room. */
  pass?: string;
  /** Changes every encoded frame before it is sent and after it has arrived: end-to-end encryption. */
  transform?: FrameTransform;
}
