// Data that arrives with a frame of the video: scores of a game, answers of a quiz, positions of a pointer.

import { Emitter } from '../sdk/emitter';
import type { Codec } from '../sdk/layers';
import type { FrameTransform } from '../sdk/session';
import { RotundaError } from '../sdk/types';

export interface ToWorker { line: number; number: number; data: ArrayBuffer }
export interface FromWorker { line: number; data: ArrayBuffer }
export interface TransformOptions { side: 'send' | 'receive'; line: number }

/** Bytes of a message. */
const MOST_BYTES = 1024;
/** Messages of a second, as in TRTC. */
const MOST_MESSAGES = 30;

/** Whether this browser can put data into frames. */
export function canSendFrameData(): boolean {
  return 'RTCRtpScriptTransform' in globalThis;
}

/** Give it to `Room.enter` as `transform`. The room's members send H.264 then: other codecs have no place for data. */
export class FrameData extends Emitter<{
  /** A message has arrived with a frame of this track of a `Remote` of the room. */
  data: { track: MediaStreamTrack; data: ArrayBuffer };
}> implements FrameTransform {
  readonly codecs: [Codec, ...Codec[]] = ['h264'];
  readonly videoOnly = true;
  private readonly tracks: MediaStreamTrack[] = [];
  private readonly senders: RTCRtpSender[] = [];
  private readonly sent: number[] = [];
  /** Another one in each page, so that a member who comes again is not taken for the one before. */
  private number = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

  /** `worker`: for a bundler that finds no `new Worker(new URL(…))`; it runs the module `frame_data/worker`. */
  constructor(private readonly worker: Worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })) {
    super();
    if (!canSendFrameData()) throw new RotundaError('frame_data_not_supported', 'This browser cannot put data into frames. Use a newer one.');
    worker.addEventListener('message', ({ data: { line, data } }: MessageEvent<FromWorker>) => {
      const track = this.tracks[line];
      if (track) this.emit('data', { track, data });
    });
  }

  /**
   * Sends at most 1024 bytes with the next frame of everything that this member publishes, at most 30 times a second. It arrives with the frame, or
   * not at all: what must arrive is a custom message.
   */
  send(data: ArrayBuffer): void {
    if (data.byteLength === 0 || data.byteLength > MOST_BYTES) throw new RotundaError('bad_frame_data', `Data has 1 to ${MOST_BYTES} bytes, not ${data.byteLength}.`);
    const now = performance.now();
    while (this.sent[0] !== undefined && now - this.sent[0] >= 1000) this.sent.shift();
    if (this.sent.length >= MOST_MESSAGES) throw new RotundaError('too_much_frame_data', `Send at most ${MOST_MESSAGES} times a second.`);
    const lines = this.senders.flatMap(({ track, transport }, line) => (track && transport?.state !== 'closed' ? [line] : []));
    if (lines.length === 0) throw new RotundaError('not_publishing', 'Publish a camera or a screen first: data is sent with its frames.');
    this.sent.push(now);
    this.number = (this.number + 1) >>> 0;
    for (const line of lines) this.worker.postMessage({ line, number: this.number, data } satisfies ToWorker);
  }

  close(): void {
    this.worker.terminate();
  }

  onSend(sender: RTCRtpSender): void {
    const line = this.senders.push(sender) - 1;
    sender.transform = new RTCRtpScriptTransform(this.worker, { side: 'send', line } satisfies TransformOptions);
  }

  onReceive(receiver: RTCRtpReceiver): void {
    const line = this.tracks.push(receiver.track) - 1;
    receiver.transform = new RTCRtpScriptTransform(this.worker, { side: 'receive', line } satisfies TransformOptions);
  }
}
