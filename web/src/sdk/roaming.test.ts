import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Emitter } from './emitter';
import { Roaming } from './roaming';
import type { Session } from './session';
import type { Signaling } from './signaling';
import { RotundaError } from './types';

class FakeSignaling extends Emitter<{ reconnecting: boolean }> {
  isConnected = true;
  answers = true;
  refusal?: RotundaError;
  reopened = 0;
  readonly asked: string[] = [];

  request(op: string): Promise<Record<string, unknown>> {
    this.asked.push(op);
    if (this.refusal) return Promise.reject(this.refusal);
    return this.answers ? Promise.resolve({ answer: 'v=0' }) : new Promise(() => {});
  }

  reopen(): void {
    this.reopened += 1;
    this.isConnected = false;
  }

  back(): void {
    this.isConnected = true;
    this.emit('reconnecting', false);
  }
}

/** A connection whose ICE checks are answered from the `works`-th restart on. */
class FakeConnection extends EventTarget {
  iceConnectionState = 'connected';
  restarts = 0;
  works = 1;

  restartIce(): void {
    this.restarts += 1;
  }

  getStats(): Promise<Map<string, object>> {
    const answered = this.restarts >= this.works;
    const id = `pair-${this.restarts}`;
    return Promise.resolve(new Map([[id, { id, type: 'candidate-pair', responsesReceived: answered ? Date.now() : 0 }]]));
  }
}

describe('roaming', () => {
  let signaling: FakeSignaling;
  let connection: FakeConnection;
  let newest: number | undefined;
  let comeOnline: () => void;
  let roaming: Roaming;
  let closed: boolean;

  beforeEach(() => {
    vi.useFakeTimers();
    signaling = new FakeSignaling();
    connection = new FakeConnection();
    newest = undefined;
    closed = false;
    const session = {
      connection,
      newestPacket: () => newest,
      offer: () => (closed ? Promise.reject(new Error('closed')) : Promise.resolve({ offer: 'v=0', lines: {} })),
      answer: () => Promise.resolve(),
    } as unknown as Session;
    roaming = new Roaming(signaling as unknown as Signaling, () => session, (listener) => {
      comeOnline = listener;
      return () => {};
    });
    roaming.follow(session);
  });

  afterEach(() => {
    roaming.stop();
    vi.useRealTimers();
  });

  test('a new network makes a new WebSocket, and then restarts ICE', async () => {
    comeOnline();
    expect(signaling.reopened).toBe(1);
    expect(connection.restarts).toBe(0);
    signaling.back();
    await vi.advanceTimersByTimeAsync(200);
    expect(connection.restarts).toBe(1);
    expect(signaling.asked).toEqual(['connect']);
  });

  test('losing only the WebSocket does not restart ICE', async () => {
    signaling.back();
    await vi.advanceTimersByTimeAsync(2000);
    expect(connection.restarts).toBe(0);
  });

  test('interrupted ICE is restarted until the server answers its checks', async () => {
    connection.works = 3;
    connection.iceConnectionState = 'disconnected';
    connection.dispatchEvent(new Event('iceconnectionstatechange'));
    await vi.advanceTimersByTimeAsync(5000);
    expect(connection.restarts).toBe(3);
    expect(signaling.reopened).toBe(0);
  });

  test('an offer without an answer was sent over an address that is gone', async () => {
    signaling.answers = false;
    connection.iceConnectionState = 'failed';
    connection.dispatchEvent(new Event('iceconnectionstatechange'));
    await vi.advanceTimersByTimeAsync(1500);
    expect(signaling.reopened).toBe(1);
    signaling.answers = true;
    signaling.back();
    await vi.advanceTimersByTimeAsync(200);
    expect(connection.restarts).toBe(2);
  });

  test('a session that was closed meanwhile is ignored', async () => {
    closed = true;
    connection.iceConnectionState = 'failed';
    connection.dispatchEvent(new Event('iceconnectionstatechange'));
    await vi.advanceTimersByTimeAsync(1500);
    expect(signaling.asked).toEqual([]);
  });

  test('silence after packets causes a probe, and nothing more if the server answers', async () => {
    await vi.advanceTimersByTimeAsync(2000);
    expect(signaling.asked).toEqual([]);
    newest = 5;
    await vi.advanceTimersByTimeAsync(2000);
    expect(signaling.asked).toEqual(['getStats']);
    expect(signaling.reopened).toBe(0);
    newest = 6;
    signaling.answers = false;
    await vi.advanceTimersByTimeAsync(1200);
    expect(signaling.reopened).toBe(1);
  });

  test('silence of a media server that nobody reaches is told to the server by a restart', async () => {
    newest = 5;
    await vi.advanceTimersByTimeAsync(300);
    signaling.refusal = new RotundaError('not_connected', '');
    await vi.advanceTimersByTimeAsync(1000);
    expect(signaling.asked).toEqual(['getStats']);
    newest = 6;
    signaling.refusal = new RotundaError('no_media_node', '');
    await vi.advanceTimersByTimeAsync(900);
    expect(signaling.asked.slice(1, 3)).toEqual(['getStats', 'connect']);
    expect(signaling.reopened).toBe(0);
  });
});
