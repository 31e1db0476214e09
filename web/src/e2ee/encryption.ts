// End-to-end encryption: the server forwards frames that it cannot read. The application makes and distributes the keys.

import { Emitter } from '../sdk/emitter';
import type { Codec } from '../sdk/layers';
import type { FrameTransform } from '../sdk/session';
import { RotundaError } from '../sdk/types';
import type { Kind } from './frames';

export type ToWorker =
  | { do: 'set'; index: number; key: ArrayBuffer }
  | { do: 'remove'; index: number }
  | { do: 'send'; index: number };

export interface FrameState {
  kind: Kind;
  /** The track of a `Remote` of the room. */
  track: MediaStreamTrack;
  state: 'decrypted' | 'missing_key' | 'wrong_key';
}

/** Whether this browser can encrypt frames. */
export function canEncrypt(): boolean {
  return 'RTCRtpScriptTransform' in globalThis;
}

/** Give it to `Room.enter` as `transform`. Until {@link Encryption.send} has a key, nothing is sent. */
export class Encryption extends Emitter<{
  /** Frames of a track cannot be decrypted, or can be again. Such frames are not shown and not heard. */
  state: FrameState;
}> implements FrameTransform {
  /** VP8: servers and browsers read no other codec's frames by a few clear bytes alone. */
  readonly codecs: [Codec, ...Codec[]] = ['vp8'];
  private readonly tracks: MediaStreamTrack[] = [];

  /** `worker`: for a bundler that finds no `new Worker(new URL(…))`; it runs the module `e2ee/worker`. */
  constructor(private readonly worker: Worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })) {
    super();
    if (!canEncrypt()) throw new RotundaError('encryption_not_supported', 'This browser cannot encrypt frames. Use a newer one.');
    worker.addEventListener('message', ({ data }: MessageEvent<{ line: number; kind: Kind; state: FrameState['state'] }>) => {
      const track = this.tracks[data.line];
      if (track) this.emit('state', { kind: data.kind, track, state: data.state });
    });
  }

  /** A key of the room or of one member: 16 random bytes or more, as your application distributes them. `index`: 0 to 255. */
  setKey(index: number, key: ArrayBuffer): void {
    check(index);
    if (key.byteLength < 16) throw new RotundaError('bad_key', `A key has at least 16 bytes, not ${key.byteLength}.`);
    this.tell({ do: 'set', index, key });
  }

  /** Frames of this key are no longer shown; if it was the one to send with, nothing is sent. */
  removeKey(index: number): void {
    check(index);
    this.tell({ do: 'remove', index });
  }

  /** Encrypts with this key from now on. To change keys, set the new one at all members first. */
  send(index: number): void {
    check(index);
    this.tell({ do: 'send', index });
  }

  close(): void {
    this.worker.terminate();
  }

  onSend(sender: RTCRtpSender, kind: Kind): void {
    sender.transform = new RTCRtpScriptTransform(this.worker, { side: 'send', kind });
  }

  onReceive(receiver: RTCRtpReceiver, kind: Kind): void {
    const line = this.tracks.push(receiver.track) - 1;
    receiver.transform = new RTCRtpScriptTransform(this.worker, { side: 'receive', kind, line });
  }

  private tell(message: ToWorker): void {
    this.worker.postMessage(message);
  }
}

function check(index: number): void {
  if (!Number.isInteger(index) || index < 0 || index > 255) throw new RotundaError('bad_key', `The index of a key is 0 to 255, not ${index}.`);
}

/** A key of words that people tell each other; `salt`: for example the room's id. Words that can be guessed protect nothing. */
export async function keyOfPassphrase(passphrase: string, salt: string): Promise<ArrayBuffer> {
  const encoder = new TextEncoder();
  const words = await crypto.subtle.importKey('raw', encoder.encode(passphrase), 'PBKDF2', false, ['deriveBits']);
  return crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: encoder.encode(salt), iterations: 600_000 }, words, 128);
}
