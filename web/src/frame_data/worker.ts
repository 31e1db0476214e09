// The worker: puts messages into the frames of senders, and reads them out of those of receivers.

import type { FromWorker, ToWorker, TransformOptions } from './frame_data';
import { Incoming, Outgoing } from './queue';
import { extract, insert } from './sei';

interface EncodedFrame {
  data: ArrayBuffer;
  getMetadata(): { synchronizationSource?: number; temporalIndex?: number };
}

interface WorkerScope {
  onmessage: (message: { data: ToWorker }) => void;
  onrtctransform: (event: { transformer: { readable: ReadableStream<EncodedFrame>; writable: WritableStream<EncodedFrame>; options: TransformOptions } }) => void;
  postMessage(message: FromWorker, transfer: Transferable[]): void;
}

const scope = self as unknown as WorkerScope;
/** By sender: the camera and the screen. */
const outgoing = new Map<number, Outgoing>();
const queueOf = (line: number) => {
  const known = outgoing.get(line) ?? new Outgoing();
  outgoing.set(line, known);
  return known;
};

scope.onmessage = ({ data: { line, number, data } }) => queueOf(line).add({ number, data: new Uint8Array(data) }, performance.now());

scope.onrtctransform = ({ transformer: { readable, writable, options } }) => {
  const change = options.side === 'send' ? sending(options.line) : receiving(options.line);
  void readable.pipeThrough(new TransformStream(change)).pipeTo(writable).catch(() => {
    // The connection is closed.
  });
};

function sending(line: number): Transformer<EncodedFrame, EncodedFrame> {
  const queue = queueOf(line);
  return {
    transform(frame, controller) {
      const { synchronizationSource = 0, temporalIndex = 0 } = frame.getMetadata();
      // The server leaves out frames of higher temporal layers where a link is slow.
      const messages = temporalIndex === 0 ? queue.take(synchronizationSource, performance.now()) : [];
      const changed = messages.length > 0 ? insert(new Uint8Array(frame.data), messages) : undefined;
      if (changed) frame.data = changed.buffer;
      controller.enqueue(frame);
    },
  };
}

function receiving(line: number): Transformer<EncodedFrame, EncodedFrame> {
  // The track of a line may be of another member later: their numbers begin elsewhere.
  const known = new Incoming();
  return {
    transform(frame, controller) {
      for (const { data } of known.take(extract(new Uint8Array(frame.data)))) {
        const { buffer } = data.slice();
        scope.postMessage({ line, data: buffer }, [buffer]);
      }
      controller.enqueue(frame);
    },
  };
}
