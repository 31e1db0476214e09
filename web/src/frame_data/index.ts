/**
 * Data that arrives with a frame of the video, as SEI messages of H.264.
 *
 * @module @rotunda/sdk/frame-data
 */

export { FrameData, canSendFrameData } from './frame_data';
