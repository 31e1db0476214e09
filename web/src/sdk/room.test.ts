import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Room } from './room';
import { placeholders, type Permissions, type TranscodingConfig } from './types';

/** A fake server: answers the requests of a room, and sends what the test gives it. */
class Server {
  static last: Server;
  readyState = 1;
  onopen?: () => void;
  onmessage?: (message: { data: string }) => void;
  onclose?: () => void;
  readonly asked: Record<string, unknown>[] = [];
  /** The request that it refuses. */
  static refused?: string;
  /** Events before the answer to `connect`. */
  beforeAnswer: Record<string, unknown>[] = [];

  constructor() {
    Server.last = this;
    queueMicrotask(() => this.onopen?.());
  }

  send(text: string): void {
    const request = JSON.parse(text) as Record<string, unknown>;
    this.asked.push(request);
    if (request['op'] === 'connect') this.beforeAnswer.forEach((event) => this.tell(event));
    const error = { code: 'not_permitted', message: 'no' };
    if (request['op'] === Server.refused) return queueMicrotask(() => this.tell({ id: request['id'], error }));
    const room = { roomId: 1, members: ['ann', 'bob'], memberCount: 2, publishers: [{ userId: 'bob', audio: 'on' }] };
    queueMicrotask(() => this.tell({ id: request['id'], ok: true, resumeToken: 't', room, answer: 'v=0' }));
  }

  tell(message: Record<string, unknown>): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

class Sender {
  track: MediaStreamTrack | null = null;

  replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    this.track = track;
    return Promise.resolve();
  }

  getParameters = () => ({ encodings: [] });
  setParameters = () => Promise.resolve();
}

class Connection extends EventTarget {
  static last: Connection;
  readonly senders: Sender[] = [];
  readonly localDescription = { sdp: 'v=0' };
  readonly iceConnectionState = 'new';

  constructor() {
    super();
    Connection.last = this;
  }

  addTransceiver(kind: string) {
    const sender = new Sender();
    const mid = String(this.senders.push(sender) - 1);
    const receiver = { track: { kind, id: mid }, getSynchronizationSources: () => [] };
    return { mid, sender, receiver };
  }

  createDataChannel = () => ({ readyState: 'connecting' });
  createOffer = () => Promise.resolve({ type: 'offer', sdp: 'v=0' });
  setLocalDescription = () => Promise.resolve();
  setRemoteDescription = () => Promise.resolve();
  close = () => {};
}

const camera = { kind: 'video', enabled: true, getSettings: () => ({ width: 1280, height: 720 }) } as unknown as MediaStreamTrack;
const microphone = { kind: 'audio', enabled: true } as MediaStreamTrack;
const requests = () => Server.last.asked.filter(({ op }) => op === 'requestVideo').map(({ userId }) => userId);
const options = { url: 'ws://x/ws', credentials: { sdkAppId: 1, userId: 'ann', userSig: 'x' }, roomId: 1 };

describe('a room', () => {
  beforeEach(() => {
    vi.stubGlobal('WebSocket', Server);
    vi.stubGlobal('RTCPeerConnection', Connection);
    vi.stubGlobal('addEventListener', () => {});
    vi.stubGlobal('removeEventListener', () => {});
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    Server.refused = undefined;
  });

  test('keeps the tracks that arrive while it is entered, before anybody can listen', async () => {
    const slots = { event: 'slots', audio: ['bob'], video: [{ userId: 'bob', source: 'camera' }] };
    const entered = Room.enter(options);
    Server.last.beforeAnswer.push(slots);
    const room = await entered;
    const found = room.remotes.map(({ userId, source, track }) => `${userId} ${source} ${track.kind}`);
    expect(found).toEqual(['bob audio audio', 'bob camera video']);
    await room.leave();
  });

  test('stops a source that is no longer permitted, and does not restart it on a new connection', async () => {
    const room = await Room.enter(options);
    await room.publish('camera', camera);
    await room.publish('audio', microphone);
    const [, sender] = Connection.last.senders;
    expect(sender?.track).toBe(camera);
    const told: Permissions[] = [];
    room.on('permissions', (permissions) => told.push(permissions));
    const left = { send: ['audio'], receive: ['audio', 'camera', 'screen'] };
    Server.last.tell({ event: 'permissions', ...left });
    expect(told).toEqual([left]);
    expect(sender?.track).toBeNull();
    Server.last.tell({ event: 'mediaState', state: 'disconnected' });
    await vi.waitUntil(() => Connection.last.senders[1] !== sender && Connection.last.senders[0]?.track === microphone);
    expect(Connection.last.senders[1]?.track).toBeNull();
    await room.leave();
  });

  test('requests a video again that ended and began again before the next request', async () => {
    const room = await Room.enter(options);
    const on = (userId: string) => ({ event: 'publishing', userId, camera: 'on' });
    Server.last.tell(on('bob'));
    Server.last.tell(on('cat'));
    while (requests().length < 2) await Promise.resolve();
    Server.last.tell({ event: 'publishing', userId: 'bob' });
    Server.last.tell(on('bob'));
    await vi.waitUntil(() => requests().length > 2);
    expect(requests()).toEqual(['bob', 'cat', 'bob']);
    await room.leave();
  });

  test('has the state of the server after a resume, and requests videos again that may have ended meanwhile', async () => {
    const room = await Room.enter(options);
    Server.last.tell({ event: 'publishing', userId: 'bob', audio: 'on', camera: 'on' });
    await vi.waitUntil(() => requests().length === 1);
    const publishers = [{ userId: 'cat', camera: 'on' }, { userId: 'bob', camera: 'muted' }];
    Server.last.tell({ event: 'room', room: { roomId: 1, members: ['ann', 'cat'], memberCount: 7, publishers } });
    await vi.waitUntil(() => requests().length === 3);
    expect(requests()).toEqual(['bob', 'cat', 'bob']);
    expect([[...room.members], room.memberCount, [...room.publishers.values()]]).toEqual([['ann', 'cat'], 7, publishers]);
    await room.leave();
  });

  const asked = () => Server.last.asked.filter(({ op }) => op === 'requestVideo' || op === 'cancelVideo')
    .map(({ op, userId, maxHeight }) => [op === 'requestVideo' ? '+' : '-', userId, maxHeight ?? ''].join(''));
  const publish = (...users: string[]) => users.forEach((userId) => Server.last.tell({ event: 'publishing', userId, camera: 'on' }));
  const slot = (userId: string) => ({ userId, source: 'camera' as const });

  test('without autoVideo requests only what the application asks for, and refuses one over the limit', async () => {
    const room = await Room.enter({ ...options, autoVideo: false });
    publish('b', 'c', 'd', 'e', 'f');
    await room.requestVideo(slot('c'), 180);
    await room.requestVideo(slot('b'));
    expect(asked()).toEqual(['+c180', '+b']);
    await room.requestVideo(slot('d'));
    await room.requestVideo(slot('e'));
    await expect(room.requestVideo(slot('f'))).rejects.toMatchObject({ code: 'too_many_video_requests' });
    await room.cancelVideo(slot('c'));
    await room.requestVideo(slot('f'));
    expect(asked().slice(4)).toEqual(['-c', '+f']);
    await room.leave();
  });

  test('with autoVideo gives a chosen video precedence, and leaves out a cancelled one', async () => {
    const room = await Room.enter(options);
    publish('b', 'c', 'd', 'e', 'f');
    await vi.waitUntil(() => asked().length === 4);
    await room.requestVideo(slot('f'));
    expect(asked().slice(4)).toEqual(['-e', '+f']);
    room.releaseVideo(slot('f'));
    await vi.waitUntil(() => asked().length === 8);
    expect(asked().slice(6)).toEqual(['-f', '+e']);
    await room.cancelVideo(slot('b'));
    expect(asked().slice(8)).toEqual(['-b', '+f']);
    await room.leave();
  });

  test('replaces the track of a source that is sent already, without another seat', async () => {
    const room = await Room.enter(options);
    await room.publish('audio', microphone);
    const other = { kind: 'audio', enabled: true } as MediaStreamTrack;
    await room.publish('audio', other);
    expect(Server.last.asked.filter(({ op }) => op === 'publish')).toHaveLength(1);
    expect(Connection.last.senders[0]?.track).toBe(other);
    await room.leave();
  });

  test('starts, changes and ends a mix, and rejects with the code of a refusal', async () => {
    const room = await Room.enter(options);
    const cell = { userId: placeholders.localMain, width: 640, height: 360 };
    const config: TranscodingConfig = { mode: 'presetLayout', videoWidth: 640, videoHeight: 360, mixUsers: [cell] };
    await room.setMixTranscodingConfig(config);
    await room.setMixTranscodingConfig(null);
    const asked = Server.last.asked.filter((request) => request['op'] === 'setMixTranscodingConfig');
    expect(asked.map((request) => request['config'])).toEqual([config, null]);
    Server.refused = 'setMixTranscodingConfig';
    await expect(room.setMixTranscodingConfig(config)).rejects.toMatchObject({ code: 'not_permitted' });
    await room.leave();
  });

  test.each(['enterRoom', 'connect'])('that could not be entered as %s was refused leaves nothing behind', async (op) => {
    Server.refused = op;
    await expect(Room.enter(options)).rejects.toMatchObject({ code: 'not_permitted' });
    expect(Server.last.asked.at(-1)).toMatchObject({ op: 'exitRoom' });
    expect(Server.last.readyState).toBe(3);
  });
});
