// The import `plugins/cdn-streaming` of TRTC's package.

export { CDNStreaming, CDNStreaming as default, PublishMode } from './cdn_streaming';
export type { CDNStreamingOptions, Encoding, Mix, Target, User, VideoLayout } from './cdn_streaming';
