// Going on when the network changes under a call, as from Wi-Fi to mobile: signaling by another WebSocket and media by an ICE
// restart, at once instead of after their timeouts. The member stays in the room.

import type { Session } from './session';
import type { Signaling } from './signaling';

/** An answer that takes longer is one to an address that is gone, milliseconds. */
const ANSWER = 1000;

/** The part of a browser that knows of networks. */
export interface Network {
  isOnline(): boolean;
  /** Answers how to stop listening. */
  onBack(listener: () => void): () => void;
}

export const browserNetwork: Network = {
  isOnline: () => navigator.onLine,
  onBack: (listener) => {
    addEventListener('online', listener);
    return () => removeEventListener('online', listener);
  },
};

export class Roaming {
  private readonly stopListening: (() => void)[];
  /** Another network has come, and ICE was not restarted yet. */
  private moved = false;
  private restarting?: Session;

  constructor(
    private readonly signaling: Signaling,
    private readonly session: () => Session | undefined,
    private readonly network: Network = browserNetwork,
  ) {
    this.stopListening = [
      network.onBack(() => this.move()),
      signaling.on('reconnecting', (is) => {
        const { connection } = this.session() ?? {};
        if (!is && (this.moved || (connection && isCut(connection)))) void this.restart();
      }),
    ];
  }

  /** Looks after a session that has just been made. */
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
    // The browser does not tell that the address of an open WebSocket is gone.
    this.signaling.reopen();
  }

  /** Without a network, or a WebSocket, nothing is done: this begins again when they are back. */
  private async restart(): Promise<void> {
    const session = this.session();
    if (!session || this.restarting === session || !this.network.isOnline() || !this.signaling.isConnected) return;
    this.restarting = session;
    this.moved = false;
    const answered = await this.attempt(session).finally(() => { this.restarting = undefined; });
    if (!answered && this.session() === session) this.move();
  }

  /** Answers whether the server did. */
  private async attempt(session: Session): Promise<boolean> {
    session.connection.restartIce();
    const reply = this.signaling.request('connect', { ...await session.offer() });
    // What was refused stays as it is; who was cut off meanwhile begins again when he is back.
    const done = reply.then(({ answer }) => session.answer(String(answer))).catch(() => {}).then(() => true);
    return Promise.race([done, new Promise<boolean>((resolve) => { setTimeout(resolve, ANSWER, false); })]);
  }
}

function isCut({ iceConnectionState }: RTCPeerConnection): boolean {
  return iceConnectionState === 'disconnected' || iceConnectionState === 'failed';
}
