// The WebSocket: requests with their replies, events, and resuming after a loss.

import { Emitter } from './emitter';
import { RotundaError, type ServerEvent } from './types';

export interface Credentials {
  sdkAppId: number;
  userId: string;
  userSig: string;
}

type Fields = Record<string, unknown>;
interface Pending {
  resolve: (reply: Fields) => void;
  reject: (error: Error) => void;
}

/** Pauses between attempts to reconnect, milliseconds; the last one repeats. Browsers delay connections after many failures. */
const PAUSES = [200, 200, 300, 500, 1000, 2000, 4000];
/** Time limits of the attempts, milliseconds: a slower one has lost its first packets. The last one repeats. */
const ATTEMPTS = [1000, 1000, 1000, 2000, 5000];
/** A server that ends is waited for this long, milliseconds: it, or another node, lets the member in again. */
const RESTART = 60_000;
/** The server is not ready for the member yet. */
const PASSING = ['disconnected', 'unreachable', 'try_later', 'no_media_node', 'node_full', 'internal'];

export class Signaling extends Emitter<{
  event: ServerEvent;
  /** The connection was lost and is being resumed, or is back. */
  reconnecting: boolean;
  /** The connection has ended; no event follows. */
  closed: RotundaError;
}> {
  private socket?: WebSocket;
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();
  private resumeToken?: string;
  private over = false;
  private comingBack = false;
  private attempt = 0;
  /** Ends the pause before the next attempt. */
  private hurry?: () => void;
  /** When the server said that it ends; the next login is a new one. */
  private endedAt?: number;
  /** Enters the room again after a new login. */
  enterAgain: () => Promise<void> = () => Promise.resolve();

  constructor(
    private readonly url: string,
    private readonly credentials: Credentials,
    private readonly open: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {
    super();
  }

  /** Connects and logs in. */
  async connect(patience = at(ATTEMPTS, ATTEMPTS.length)): Promise<void> {
    await this.openSocket(patience);
    const reply = await this.request('login', { ...this.credentials, resumeToken: this.resumeToken });
    this.resumeToken = String(reply['resumeToken']);
  }

  /** Sends a request; rejects with a {@link RotundaError} when it is refused. */
  request(op: string, fields: Fields = {}): Promise<Fields> {
    const id = this.nextId;
    this.nextId += 1;
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== 1) {
        reject(new RotundaError('disconnected', 'The connection to the server is lost.'));
        return;
      }
      this.pending.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, op, ...fields }));
    });
  }

  /** Whether requests can be sent now. */
  get isConnected(): boolean {
    return this.socket?.readyState === 1 && !this.comingBack;
  }

  /** Abandons the connection and opens another one at once, because the network has changed. */
  reopen(): void {
    if (this.over || !this.resumeToken) return;
    const socket = this.socket;
    this.socket = undefined;
    // Closing a dead connection may take long; nothing waits for it.
    socket?.close();
    this.lost();
    // A network that is just starting may refuse the first attempts.
    this.attempt = -1;
    this.hurry?.();
  }

  close(): void {
    this.over = true;
    this.socket?.close();
  }

  private openSocket(patience: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.open(this.url);
      this.socket = socket;
      const late = setTimeout(() => socket.close(), patience);
      socket.onopen = () => {
        clearTimeout(late);
        resolve();
      };
      // An abandoned connection still has its last messages.
      socket.onmessage = (message) => { if (this.socket === socket) this.receive(String(message.data)); };
      socket.onclose = () => {
        clearTimeout(late);
        reject(new RotundaError('unreachable', 'The server cannot be reached.'));
        if (this.socket === socket) this.lost();
      };
    });
  }

  private receive(text: string): void {
    const message = JSON.parse(text) as Fields;
    if (typeof message['event'] === 'string') {
      const event = message as unknown as ServerEvent;
      if (event.event !== 'kicked') this.emit('event', event);
      else if (event.reason === 'shutdown') this.beginAgain();
      else {
        this.end(new RotundaError(event.reason, kickedText(event.reason)));
        this.emit('event', event);
      }
      return;
    }
    const waiting = this.pending.get(Number(message['id']));
    this.pending.delete(Number(message['id']));
    const error = message['error'] as { code: string; message: string } | undefined;
    if (error) waiting?.reject(new RotundaError(error.code, error.message));
    else waiting?.resolve(message);
  }

  private lost(): void {
    for (const { reject } of this.pending.values()) {
      reject(new RotundaError('disconnected', 'The connection to the server was lost.'));
    }
    this.pending.clear();
    if (this.over || this.comingBack || (!this.resumeToken && this.endedAt === undefined)) return;
    this.comingBack = true;
    this.emit('reconnecting', true);
    void this.comeBack();
  }

  /** The node ends. Another one, or this one when it is back, gets a new login. */
  private beginAgain(): void {
    this.resumeToken = undefined;
    this.endedAt ??= Date.now();
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
    this.lost();
  }

  private async comeBack(): Promise<void> {
    for (this.attempt = 0; !this.over; this.attempt += 1) {
      await this.pause(at(PAUSES, this.attempt));
      try {
        // A new login replaces one of an earlier attempt, whose room is not entered.
        if (this.endedAt !== undefined) this.resumeToken = undefined;
        await this.connect(at(ATTEMPTS, this.attempt));
        if (this.endedAt !== undefined) await this.enterAgain();
        this.endedAt = undefined;
        this.comingBack = false;
        this.emit('reconnecting', false);
        return;
      } catch (error) {
        if (this.endedAt !== undefined) {
          const isPassing = !(error instanceof RotundaError) || PASSING.includes(error.code);
          if (isPassing && Date.now() < this.endedAt + RESTART) continue;
          this.comingBack = false;
          this.end(isPassing ? new RotundaError('shutdown', kickedText('shutdown')) : error as RotundaError);
          return;
        }
        if (error instanceof RotundaError && error.code === 'resume_failed') {
          this.comingBack = false;
          this.end(new RotundaError('timeout', 'The connection was lost for too long. Please join again.'));
          return;
        }
        // This attempt's own socket was lost; the loop opens the next one.
      }
    }
  }

  private async pause(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.hurry = resolve;
      setTimeout(resolve, milliseconds);
    });
    this.hurry = undefined;
  }

  private end(error: RotundaError): void {
    if (this.over) return;
    this.over = true;
    this.emit('closed', error);
  }
}

/** The last value repeats. */
function at(times: number[], index: number): number {
  return times[Math.min(index, times.length - 1)] ?? 0;
}

function kickedText(reason: string): string {
  switch (reason) {
    case 'kick': return 'You joined from another place.';
    case 'banned': return 'You were removed from the room.';
    case 'room_disband': return 'The room was closed.';
    default: return 'The server has ended and is not back yet. Please join again later.';
  }
}
