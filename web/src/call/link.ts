// The WebSocket at `/calls`: registers this device, and again after a loss.

import { Emitter } from '../sdk/emitter';
import { RotundaError } from '../sdk/types';
import type { CallView, Identity, MissedCall } from './types';

type Fields = Record<string, unknown>;
interface Pending {
  resolve: (reply: Fields) => void;
  reject: (error: Error) => void;
}

/** Pauses between attempts to reconnect, milliseconds; the last one repeats. */
const PAUSES = [300, 500, 1000, 2000, 4000, 8000];
/** Time limit of an attempt, milliseconds. */
const PATIENCE = 8000;
/** These refusals of a registration do not pass. */
const FINAL = new Set([
  'unknown_application', 'user_sig_invalid', 'user_sig_expired', 'user_sig_user_mismatch', 'user_sig_app_mismatch', 'too_many_devices',
]);

export interface Registration {
  /** The call that this user rings in or is in. */
  call?: CallView;
  missed: MissedCall[];
}

export class Link extends Emitter<{
  view: CallView;
  /** The device is registered, for the first time or again. */
  registered: Registration;
  reconnecting: boolean;
  /** No event follows. */
  closed: RotundaError;
}> {
  private socket?: WebSocket;
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();
  private known = false;
  private over = false;
  private comingBack = false;

  constructor(
    private readonly url: string,
    private readonly identity: Identity,
    private readonly deviceId: string,
    private readonly open: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {
    super();
  }

  async connect(): Promise<void> {
    await this.openSocket();
    const reply = await this.request('register', { ...this.identity, deviceId: this.deviceId });
    this.known = true;
    this.emit('registered', { call: reply['call'] as CallView | undefined, missed: (reply['missed'] as MissedCall[] | undefined) ?? [] });
  }

  /** Rejects with a {@link RotundaError} when it is refused. */
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

  close(): void {
    this.over = true;
    this.socket?.close();
  }

  private openSocket(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.open(this.url);
      this.socket = socket;
      const late = setTimeout(() => socket.close(), PATIENCE);
      socket.onopen = () => {
        clearTimeout(late);
        resolve();
      };
      socket.onmessage = (message) => this.receive(String(message.data));
      socket.onclose = () => {
        clearTimeout(late);
        reject(new RotundaError('unreachable', 'The server cannot be reached.'));
        if (this.socket === socket) this.lost();
      };
    });
  }

  private receive(text: string): void {
    const message = JSON.parse(text) as Fields;
    if (message['event'] === 'call') {
      this.emit('view', message['call'] as CallView);
      return;
    }
    if (message['event'] === 'replaced') {
      // A server that shuts down is replaced by another one, which the next attempt reaches.
      if (message['by'] === 'device') this.end(new RotundaError('replaced', 'Another page has registered as this device.'));
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
    if (this.over || !this.known || this.comingBack) return;
    this.comingBack = true;
    this.emit('reconnecting', true);
    void this.comeBack();
  }

  private async comeBack(): Promise<void> {
    for (let attempt = 0; !this.over; attempt += 1) {
      const pause = PAUSES[Math.min(attempt, PAUSES.length - 1)];
      await new Promise((resolve) => { setTimeout(resolve, pause); });
      if (this.over) return;
      try {
        await this.connect();
        this.comingBack = false;
        this.emit('reconnecting', false);
        return;
      } catch (error) {
        if (error instanceof RotundaError && FINAL.has(error.code)) {
          this.comingBack = false;
          this.end(error);
          return;
        }
      }
    }
  }

  private end(error: RotundaError): void {
    if (this.over) return;
    this.over = true;
    this.socket?.close();
    this.emit('closed', error);
  }
}
