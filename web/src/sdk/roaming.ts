// Continues a call when the network changes, for example from Wi-Fi to mobile: signaling by a new WebSocket and media by an
// ICE restart, at once instead of after their timeouts. The member stays in the room.

import type { Session } from './session';
import type { Signaling } from './signaling';
import { RotundaError } from './types';

/** An answer that takes longer was sent to an address that is gone, milliseconds. */
const ANSWER = 1000;
/** After this silence of a stream the network may be gone, milliseconds. */
const SILENCE = 500;
/** The network is gone if a request then gets no answer for this long, milliseconds. */
const PROBE = 400;
const LOOK = 100;
/** A restart is repeated if no check is answered for this long, milliseconds. */
const CHECKS = 800;
const ATTEMPTS = 10;

export class Roaming {
  private readonly stopListening: (() => void)[];
  /** The network has changed, and ICE was not restarted yet. */
  private moved = false;
  private restarting?: Session;
  /** The newest packet of all lines, in the browser's time, and when it was found. */
  private heard = { newest: 0, at: 0, flows: false };

  /** `onNetwork` registers a listener for a new network, and returns a function that removes it. */
  constructor(
    private readonly signaling: Signaling,
    private readonly session: () => Session | undefined,
    onNetwork: (listener: () => void) => () => void = onOnline,
  ) {
    const timer = setInterval(() => this.listen(performance.now()), LOOK);
    this.stopListening = [
      () => clearInterval(timer),
      onNetwork(() => this.move()),
      signaling.on('reconnecting', (is) => {
        const { connection } = this.session() ?? {};
        if (!is && (this.moved || (connection && isCut(connection)))) void this.restart();
      }),
    ];
  }

  /** Watches a new session. */
  follow({ connection }: Session): void {
    connection.addEventListener('iceconnectionstatechange', () => {
      if (this.session()?.connection === connection && isCut(connection)) void this.restart();
    });
  }

  stop(): void {
    for (const stop of this.stopListening) stop();
  }

  private move(): void {
    this.moved = true;
    // The browser does not report that the address of an open WebSocket is gone.
    this.signaling.reopen();
  }

  /** Browsers report seconds late that a network is gone. */
  private listen(now: number): void {
    const newest = this.session()?.newestPacket() ?? 0;
    if (newest !== this.heard.newest) {
      this.heard = { newest, at: now, flows: true };
    } else if (this.heard.flows && now - this.heard.at > SILENCE) {
      this.heard.flows = false;
      void this.probe();
    }
  }

  /** Finds out whether the publishers are silent, or the network or the media server is gone. */
  private async probe(): Promise<void> {
    if (!this.signaling.isConnected) return;
    let hasServer = true;
    const answer = this.signaling.request('getStats').catch((error: unknown) => {
      hasServer = !(error instanceof RotundaError && error.code === 'no_media_node');
    });
    if (!await within(answer.then(() => true), PROBE)) this.move();
    // The refused restart tells the server that this session is lost, and the server asks for another one.
    else if (!hasServer) void this.restart();
  }

  /** Does nothing without a WebSocket: it runs again when there is one. */
  private async restart(): Promise<void> {
    const session = this.session();
    if (!session || this.restarting === session) return;
    this.restarting = session;
    this.moved = false;
    try {
      // A browser may know a new network only a second after it is up; until then there is no address to start from.
      for (let attempt = 0; attempt < ATTEMPTS && this.session() === session && this.signaling.isConnected; attempt += 1) {
        const done = await this.attempt(session);
        if (done === 'works') break;
        if (done === 'unanswered') this.move();
      }
    } finally {
      this.restarting = undefined;
    }
    if (this.moved && this.signaling.isConnected) void this.restart();
  }

  private async attempt(session: Session): Promise<'works' | 'unanswered' | 'silent'> {
    const { connection } = session;
    connection.restartIce();
    const before = await answeredChecks(connection);
    const reply = session.offer().then((offer) => this.signaling.request('connect', { ...offer }));
    // A refused restart changes nothing. The session may have been closed. After a lost connection the client begins again.
    const applied = reply.then(({ answer }) => session.answer(String(answer))).then(() => true, () => true);
    if (!await within(applied, ANSWER)) return 'unanswered';
    for (const until = performance.now() + CHECKS; performance.now() < until;) {
      for (const [pair, count] of await answeredChecks(connection)) if (count > (before.get(pair) ?? 0)) return 'works';
      await within(new Promise(() => {}), LOOK);
    }
    return 'silent';
  }
}

/** The number of ICE checks that the server has answered, by pair. */
async function answeredChecks(connection: RTCPeerConnection): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  (await connection.getStats()).forEach(({ id, type, responsesReceived = 0 }: Check) => {
    if (type === 'candidate-pair') counts.set(id, responsesReceived);
  });
  return counts;
}

interface Check {
  id: string;
  type: string;
  responsesReceived?: number;
}

function onOnline(listener: () => void): () => void {
  addEventListener('online', listener);
  return () => removeEventListener('online', listener);
}

/** False after this many milliseconds. */
function within(done: Promise<boolean>, milliseconds: number): Promise<boolean> {
  return Promise.race([done, new Promise<boolean>((resolve) => { setTimeout(resolve, milliseconds, false); })]);
}

function isCut({ iceConnectionState }: RTCPeerConnection): boolean {
  return iceConnectionState === 'disconnected' || iceConnectionState === 'failed';
}
