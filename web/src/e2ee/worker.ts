// The worker: encrypts the frames of senders and decrypts those of receivers.

import { Encryptor, KeyRing, decryptFrame, type Kind } from './frames';
import type { ToWorker } from './encryption';

interface EncodedFrame {
  data: ArrayBuffer;
}

interface Transformer {
  readable: ReadableStream<EncodedFrame>;
  writable: WritableStream<EncodedFrame>;
  options: { side: 'send' | 'receive'; kind: Kind; line: number };
}

interface WorkerScope {
  onmessage: (message: { data: ToWorker }) => void;
  onrtctransform: (event: { transformer: Transformer }) => void;
  postMessage(message: { line: number; kind: Kind; state: 'decrypted' | 'missing_key' | 'wrong_key' }): void;
}

const scope = self as unknown as WorkerScope;
const keys = new KeyRing();

scope.onmessage = ({ data }) => {
  if (data.do === 'set') keys.set(data.index, data.key);
  else if (data.do === 'remove') keys.remove(data.index);
  else keys.sending = data.index;
};

scope.onrtctransform = ({ transformer }) => {
  const { side, kind, line } = transformer.options;
  const change = side === 'send' ? sending(kind) : receiving(kind, line);
  void transformer.readable.pipeThrough(new TransformStream(change)).pipeTo(transformer.writable).catch(() => {
    // The connection is closed.
  });
};

function sending(kind: Kind): globalThis.Transformer<EncodedFrame, EncodedFrame> {
  const encryptor = new Encryptor(keys, kind);
  return {
    async transform(frame, controller) {
      const encrypted = await encryptor.encrypt(frame.data);
      // Nothing is sent in the clear.
      if (!encrypted) return;
      frame.data = encrypted;
      controller.enqueue(frame);
    },
  };
}

function receiving(kind: Kind, line: number): globalThis.Transformer<EncodedFrame, EncodedFrame> {
  let last: string | undefined;
  const tell = (state: 'decrypted' | 'missing_key' | 'wrong_key') => {
    if (state !== last) scope.postMessage({ line, kind, state });
    last = state;
  };
  return {
    async transform(frame, controller) {
      const result = await decryptFrame(keys, kind, frame.data);
      if ('failure' in result) {
        tell(result.failure);
        return;
      }
      tell('decrypted');
      frame.data = result.frame;
      controller.enqueue(frame);
    },
  };
}
