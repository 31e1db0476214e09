// Noise suppression and a virtual background, as processors of the microphone and the camera. Bring your own model: any function that
// makes a track of a track will do.

import type { Processor } from '@rotunda/sdk';

/** Audio by a chain of Web Audio nodes, for example an AudioWorklet with RNNoise. `nodes`: in the order in which the audio passes. */
export function audioBy(nodes: (context: AudioContext) => Promise<AudioNode[]>): Processor {
  return async (microphone) => {
    const context = new AudioContext();
    const out = context.createMediaStreamDestination();
    let last: AudioNode = context.createMediaStreamSource(new MediaStream([microphone]));
    for (const node of [...await nodes(context), out]) last = last.connect(node);
    const [track] = out.stream.getAudioTracks();
    if (!track) throw new Error('An audio destination has a track.');
    return {
      track,
      stop: () => {
        track.stop();
        void context.close();
      },
    };
  };
}

/** Rumble and hum are cut off. */
export const withoutRumble = audioBy(async (context) => [new BiquadFilterNode(context, { type: 'highpass', frequency: 120 })]);

/** Where the person is: opaque in front of a transparent ground, in the size of the video. MediaPipe's image segmenter makes such a mask. */
export type Segment = (video: HTMLVideoElement) => Promise<CanvasImageSource>;

/** A camera with a picture behind the person; without a picture the camera itself, blurred. */
export function background(segment: Segment, picture?: CanvasImageSource): Processor {
  return async (camera) => {
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
    video.srcObject = new MediaStream([camera]);
    await video.play();
    const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
    const context = canvas.getContext('2d');
    const [track] = canvas.captureStream(camera.getSettings().frameRate ?? 25).getVideoTracks();
    if (!context || !track) throw new Error('This browser draws no canvas.');
    const all = [0, 0, canvas.width, canvas.height] as const;
    let over = false;
    const draw = async () => {
      if (over) return;
      const mask = await segment(video);
      context.globalCompositeOperation = 'copy';
      context.drawImage(mask, ...all);
      context.globalCompositeOperation = 'source-in';
      context.drawImage(video, ...all);
      context.globalCompositeOperation = 'destination-over';
      context.filter = picture ? 'none' : 'blur(14px)';
      context.drawImage(picture ?? video, ...all);
      context.filter = 'none';
      video.requestVideoFrameCallback(() => void draw());
    };
    void draw();
    return {
      track,
      stop: () => {
        over = true;
        track.stop();
        video.srcObject = null;
      },
    };
  };
}
