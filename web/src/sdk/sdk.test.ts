import { describe, expect, test, vi } from 'vitest';
import { Signaling } from './signaling';
import { difference, wantedVideos } from './wishes';

/** A fake server: sends the answers of the test. */
class FakeSocket {
  readyState = 1;
  sent: Record<string, unknown>[] = [];
  onopen?: () => void;
  onmessage?: (message: { data: string }) => void;
  onclose?: () => void;

  constructor(private readonly reply: (request: Record<string, unknown>) => Record<string, unknown> | undefined) {
    queueMicrotask(() => this.onopen?.());
  }

  send(text: string): void {
    const request = JSON.parse(text) as Record<string, unknown>;
    this.sent.push(request);
    const reply = this.reply(request);
    if (reply) queueMicrotask(() => this.say({ id: request['id'], ...reply }));
  }

  say(message: Record<string, unknown>): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

const credentials = { sdkAppId: 1, userId: 'ann', userSig: 'x' };

function client(reply: (request: Record<string, unknown>) => Record<string, unknown> | undefined) {
  const sockets: FakeSocket[] = [];
  const signaling = new Signaling('ws://x/ws', credentials, () => {
    const socket = new FakeSocket(reply);
    sockets.push(socket);
    return socket as unknown as WebSocket;
  });
  return { signaling, sockets };
}

describe('signaling', () => {
  test('a refusal rejects with the code of the server', async () => {
    const { signaling } = client(({ op }) => (op === 'login'
      ? { ok: true, resumeToken: 't' }
      : { error: { code: 'room_full', message: 'full' } }));
    await signaling.connect();
    await expect(signaling.request('enterRoom')).rejects.toMatchObject({ code: 'room_full' });
  });

  test('a lost connection is resumed with its token', async () => {
    const { signaling, sockets } = client(() => ({ ok: true, resumeToken: 'token' }));
    await signaling.connect();
    const back = new Promise((resolve) => { signaling.on('reconnecting', (is) => { if (!is) resolve(undefined); }); });
    sockets[0]?.close();
    await back;
    expect(sockets[1]?.sent[0]).toMatchObject({ op: 'login', resumeToken: 'token' });
  });

  test('an abandoned connection is resumed at once, even when attempts were far apart', async () => {
    let reachable = true;
    const { signaling, sockets } = client(() => (reachable ? { ok: true, resumeToken: 'token' } : undefined));
    await signaling.connect();
    reachable = false;
    signaling.reopen();
    expect(signaling.isConnected).toBe(false);
    await vi.waitUntil(() => sockets.length === 2);
    reachable = true;
    const back = new Promise<boolean>((resolve) => { signaling.on('reconnecting', resolve); });
    signaling.reopen();
    expect(await back).toBe(false);
    expect(sockets.at(-1)?.sent[0]).toMatchObject({ op: 'login', resumeToken: 'token' });
    expect(signaling.isConnected).toBe(true);
  });

  test('a kicked member learns the reason and does not reconnect', async () => {
    const { signaling, sockets } = client(() => ({ ok: true, resumeToken: 'token' }));
    await signaling.connect();
    const closed = new Promise<string>((resolve) => { signaling.on('closed', ({ code }) => resolve(code)); });
    sockets[0]?.say({ event: 'kicked', reason: 'kick' });
    sockets[0]?.close();
    expect(await closed).toBe('kick');
    expect(sockets).toHaveLength(1);
  });

  test('when the server ends, a new login enters again, as soon as one accepts it', async () => {
    let refusals = 2;
    const { signaling, sockets } = client(({ op }) => {
      if (op !== 'enterRoom') return { ok: true, resumeToken: 'token' };
      refusals -= 1;
      return refusals < 0 ? { ok: true } : { error: { code: 'try_later', message: 'not yet' } };
    });
    signaling.enterAgain = async () => { await signaling.request('enterRoom'); };
    await signaling.connect();
    const back = new Promise<boolean>((resolve) => { signaling.on('reconnecting', (is) => { if (!is) resolve(is); }); });
    sockets[0]?.say({ event: 'kicked', reason: 'shutdown' });
    expect(await back).toBe(false);
    expect(sockets).toHaveLength(4);
    for (const { sent } of sockets.slice(1)) expect(sent[0]).not.toHaveProperty('resumeToken');
    // What the ended server still says is not heard.
    sockets[0]?.say({ event: 'kicked', reason: 'kick' });
    expect(signaling.isConnected).toBe(true);
  });

  test('a member whom the next server refuses learns why', async () => {
    let logins = 0;
    const { signaling, sockets } = client(() => {
      logins += 1;
      return logins === 1 ? { ok: true, resumeToken: 'token' } : { error: { code: 'user_sig_expired', message: 'old' } };
    });
    await signaling.connect();
    const closed = new Promise<string>((resolve) => { signaling.on('closed', ({ code }) => resolve(code)); });
    sockets[0]?.say({ event: 'kicked', reason: 'shutdown' });
    expect(await closed).toBe('user_sig_expired');
  });
});

describe('wanted videos', () => {
  const publishers = ['a', 'b', 'c', 'd', 'e'].map((userId) => ({ userId, camera: 'on' as const }));

  test('are four cameras, three while sending one, and one screen', () => {
    expect(wantedVideos(publishers, false)).toHaveLength(4);
    expect(wantedVideos(publishers, true)).toHaveLength(3);
    const sharing = [...publishers, { userId: 'f', screen: 'on' as const }, { userId: 'g', screen: 'on' as const }];
    expect(wantedVideos(sharing, true).at(-1)).toEqual({ userId: 'f', source: 'screen' });
  });

  test('begin with the preferred ones, and leave out the excluded ones', () => {
    const choice = { all: true, preferred: [{ userId: 'e', source: 'camera' as const }], excluded: [{ userId: 'a', source: 'camera' as const }] };
    expect(wantedVideos(publishers, true, choice).map(({ userId }) => userId)).toEqual(['e', 'b', 'c']);
  });

  test('are only those that were asked for, if the application chooses them', () => {
    const choice = { all: false, preferred: [{ userId: 'c', source: 'camera' as const }, { userId: 'x', source: 'screen' as const }], excluded: [] };
    expect(wantedVideos(publishers, false, choice)).toEqual([{ userId: 'c', source: 'camera' }]);
  });

  test('are reached by the fewest requests', () => {
    const have = wantedVideos(publishers.slice(0, 3), false);
    const want = wantedVideos(publishers.slice(1, 4), false);
    expect(difference(have, want)).toEqual({
      request: [{ userId: 'd', source: 'camera' }],
      cancel: [{ userId: 'a', source: 'camera' }],
    });
  });
});
