// The public part of the compatibility package; see docs/moving-from-trtc.md.

import { TRTC } from './trtc';

export * from './constants';
export { RtcError, type RTCErrorParams } from './error';
export type {
  CDNStreamingOptions, Encoding, Mix, Target, User, VideoLayout,
} from './cdn_streaming';
export type * from './types';
export { TRTC };
export default TRTC;
