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
  static profiles: Record<string, unknown>[] = [];
  /** Only users with a pass enter. */
  static hasWaitingRoom = false;
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
    if (Server.hasWaitingRoom && request['op'] === 'enterRoom' && request['pass'] === undefined) {
      return queueMicrotask(() => this.tell({ id: request['id'], error: { ...error, code: 'admission_required' } }));
    }
    if (request['op'] === 'knock') return queueMicrotask(() => this.tell({ id: request['id'], ok: true, state: 'waiting' }));
    const room = { roomId: 1, members: ['ann', 'bob'], memberCount: 2, publishers: [{ userId: 'bob', audio: 'on' }] };
    const streamProfiles = Server.profiles;
    queueMicrotask(() => this.tell({ id: request['id'], ok: true, resumeToken: 't', room, answer: 'v=0', streamProfiles, pass: 'mine' }));
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
  connectionState = 'new';
  closed = false;
  readonly senders: Sender[] = [];
  readonly offered: RTCRtpTransceiverInit[] = [];
  readonly localDescription = { sdp: 'v=0' };
  readonly iceConnectionState = 'new';

  constructor() {
    super();
    Connection.last = this;
  }

  addTransceiver(kind: string, init: RTCRtpTransceiverInit) {
    this.offered.push(init);
    const sender = new Sender();
    const mid = String(this.senders.push(sender) - 1);
    const receiver = { track: { kind, id: mid }, getSynchronizationSources: () => [] };
    return { mid, sender, receiver };
  }

  createDataChannel = () => ({ readyState: 'connecting' });
  createOffer = () => Promise.resolve({ type: 'offer', sdp: 'v=0' });
  setLocalDescription = () => Promise.resolve();
  setRemoteDescription = () => Promise.resolve();
  close = () => { this.closed = true; };

  become(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }
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
    Server.profiles = [];
    Server.hasWaitingRoom = false;
  });

  test('is entered when a moderator admits the user, who waits through the end of a server', async () => {
    Server.hasWaitingRoom = true;
    let waits = 0;
    const entered = Room.enter({ ...options, onWaiting: () => { waits += 1; } });
    await vi.waitUntil(() => waits === 1);
    const ended = Server.last;
    ended.tell({ event: 'kicked', reason: 'shutdown' });
    await vi.waitUntil(() => Server.last !== ended && Server.last.asked.some(({ op }) => op === 'knock'));
    expect(Server.last.asked.map(({ op }) => op)).toEqual(['login', 'knock']);
    Server.last.tell({ event: 'admission', state: 'admitted', pass: 'p' });
    const room = await entered;
    expect(Server.last.asked.find(({ op }) => op === 'enterRoom')).toMatchObject({ roomId: 1, pass: 'p' });
    expect([waits, room.pass, room.waitingRoom]).toEqual([1, 'mine', undefined]);
    const back = new Promise<void>((resolve) => { room.on('reconnecting', (is) => { if (!is) resolve(); }); });
    Server.last.tell({ event: 'kicked', reason: 'shutdown' });
    await back;
    expect(Server.last.asked.find(({ op }) => op === 'enterRoom')).toMatchObject({ pass: 'mine' });
    await room.leave();
  });

  test('with a waiting room is not entered by an application that does not wait, nor by a user who gives up', async () => {
    Server.hasWaitingRoom = true;
    await expect(Room.enter(options)).rejects.toMatchObject({ code: 'admission_required' });
    const controller = new AbortController();
    const entered = Room.enter({ ...options, signal: controller.signal, onWaiting: () => controller.abort() });
    await expect(entered).rejects.toMatchObject({ code: 'aborted' });
    expect(Server.last.asked.at(-1)).toMatchObject({ op: 'exitRoom' });
  });

  test('tells a moderator who waits, and that they moderate no more', async () => {
    const room = await Room.enter(options);
    const told: unknown[] = [];
    room.on('waiting-room', (waitingRoom) => told.push(waitingRoom));
    const all = { send: ['audio', 'camera', 'screen'], receive: ['audio', 'camera', 'screen'] };
    Server.last.tell({ event: 'permissions', ...all, moderate: true });
    const waitingRoom = { required: true, total: 1, users: [{ userId: 'cat', sinceUnixMs: 7 }] };
    Server.last.tell({ event: 'waitingRoom', ...waitingRoom });
    Server.last.tell({ event: 'permissions', ...all, moderate: true });
    expect(room.waitingRoom).toEqual(waitingRoom);
    Server.last.tell({ event: 'permissions', ...all });
    expect(told).toEqual([{ required: false, total: 0, users: [] }, waitingRoom, undefined]);
    await room.leave();
  });

  test('sends what the profile of its platform and role says', async () => {
    Server.profiles = [{ platform: 'ios', bitrate: 100 }, { role: 'audience', bitrate: 200 }, { platform: 'web', bitrate: 850, layers: 2 }];
    const room = await Room.enter({ ...options, role: 'anchor' });
    expect(room.profile).toEqual({ platform: 'web', bitrate: 850, layers: 2 });
    const [, sends] = Connection.last.offered;
    expect(sends?.sendEncodings?.map(({ maxBitrate }) => maxBitrate)).toEqual([75_000, 250_000, 850_000]);
    await room.leave();
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

  test('sends on both connections until the one to another media server is there', async () => {
    const room = await Room.enter(options);
    await room.publish('camera', camera);
    const former = Connection.last;
    let remotes = 0;
    room.on('remotes', () => { remotes += 1; });
    Server.last.tell({ event: 'moveMedia' });
    await vi.waitUntil(() => Connection.last !== former && Connection.last.senders[1]?.track === camera);
    const next = Connection.last;
    Server.last.tell({ event: 'moveMedia' });
    expect(former.senders[1]?.track).toBe(camera);
    expect([former.closed, room.session?.connection === (former as unknown)]).toEqual([false, true]);
    await room.publish('audio', microphone);
    next.become('connected');
    await vi.waitUntil(() => former.closed);
    expect(Connection.last).toBe(next);
    expect(room.session?.connection).toBe(next);
    expect(next.senders[0]?.track).toBe(microphone);
    expect(remotes).toBe(1);
    await room.leave();
    expect(next.closed).toBe(true);
  });

  test('stays where it is when the move fails, and moves when it is asked again', async () => {
    const room = await Room.enter(options);
    const former = Connection.last;
    Server.last.tell({ event: 'moveMedia' });
    await vi.waitUntil(() => Connection.last !== former);
    const failed = Connection.last;
    await vi.waitUntil(() => Server.last.asked.filter(({ op }) => op === 'connect').length === 2);
    failed.become('failed');
    await vi.waitUntil(() => failed.closed);
    expect([former.closed, room.session?.connection === (former as unknown)]).toEqual([false, true]);
    Server.last.tell({ event: 'moveMedia' });
    await vi.waitUntil(() => Connection.last !== failed);
    Connection.last.become('connected');
    await vi.waitUntil(() => former.closed);
    await room.leave();
  });

  test('is as before when the server has ended and another one is found', async () => {
    const room = await Room.enter({ ...options, role: 'anchor' });
    await room.publish('audio', microphone);
    await room.publish('camera', camera);
    await room.mute('audio', true);
    await room.muteRemoteAudio('bob', true);
    const ended = Server.last;
    const back = new Promise<void>((resolve) => { room.on('reconnecting', (is) => { if (!is) resolve(); }); });
    ended.tell({ event: 'kicked', reason: 'shutdown' });
    await back;
    expect(Server.last).not.toBe(ended);
    const said = Server.last.asked.map(({ op, source, userId }) => [op, source ?? userId].filter(Boolean).join(' '));
    expect(said.filter((op) => !op.startsWith('requestVideo'))).toEqual([
      'login ann', 'enterRoom', 'connect', 'publish audio', 'mute audio', 'publish camera', 'muteRemoteAudio bob',
    ]);
    expect(Server.last.asked[1]).toMatchObject({ roomId: 1, role: 'anchor' });
    expect(Connection.last.senders[1]?.track).toBe(camera);
    await room.leave();
  });

  test('goes on without a source whose seat has been taken meanwhile', async () => {
    const room = await Room.enter(options);
    await room.publish('camera', camera);
    const errors: string[] = [];
    room.on('error', ({ code }) => errors.push(code));
    const back = new Promise<void>((resolve) => { room.on('reconnecting', (is) => { if (!is) resolve(); }); });
    Server.refused = 'publish';
    Server.last.tell({ event: 'kicked', reason: 'shutdown' });
    await back;
    expect(errors).toEqual(['not_permitted']);
    expect(room.isPublishing('camera')).toBe(false);
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

  test('pushes its own media to another server, also after the server has ended, until the push is over', async () => {
    const room = await Room.enter(options);
    await room.publish('camera', camera);
    const url = 'rtmp://cdn.example.com/live/key';
    const told: unknown[] = [];
    room.on('cdn-stream-state', (stream) => told.push(stream));
    await room.startPublishCDNStream({ url });
    await room.startPublishCDNStream({ url, source: 'screen' });
    await room.stopPublishCDNStream('screen');
    const said = () => Server.last.asked.filter(({ op }) => String(op).includes('PublishCdnStream')).map(({ op, source }) => `${String(op)} ${String(source)}`);
    expect(said()).toEqual(['startPublishCdnStream camera', 'startPublishCdnStream screen', 'stopPublishCdnStream screen']);
    const again = async () => {
      const back = new Promise<void>((resolve) => { room.on('reconnecting', (is) => { if (!is) resolve(); }); });
      Server.last.tell({ event: 'kicked', reason: 'shutdown' });
      await back;
    };
    await again();
    expect(said()).toEqual(['startPublishCdnStream camera']);
    expect(Server.last.asked.at(-1)).toMatchObject({ url });
    Server.last.tell({ event: 'cdnStreamState', source: 'camera', state: 'running' });
    Server.last.tell({ event: 'cdnStreamState', source: 'camera', state: 'ended' });
    expect(told).toEqual([{ source: 'camera', state: 'running' }, { source: 'camera', state: 'ended' }]);
    await again();
    expect(said()).toEqual([]);
    await room.leave();
  });

  test('pushes its mix to another server, also after the server has ended, until the mix ends', async () => {
    const room = await Room.enter(options);
    await room.setMixTranscodingConfig({ mode: 'pureAudio' });
    await room.startPublishCDNStream({ url: 'rtmp://cdn.example.com/live/key', source: 'mix' });
    const said = () => Server.last.asked.map(({ op }) => String(op)).filter((op) => /Mix|CdnStream/.test(op));
    const again = async () => {
      const back = new Promise<void>((resolve) => { room.on('reconnecting', (is) => { if (!is) resolve(); }); });
      Server.last.tell({ event: 'kicked', reason: 'shutdown' });
      await back;
    };
    await again();
    expect(said()).toEqual(['setMixTranscodingConfig', 'startPublishCdnStream']);
    expect(Server.last.asked.at(-1)).toMatchObject({ source: 'mix' });
    await room.setMixTranscodingConfig(null);
    await again();
    expect(said()).toEqual([]);
    await room.leave();
  });

  test.each(['enterRoom', 'connect'])('that could not be entered as %s was refused leaves nothing behind', async (op) => {
    Server.refused = op;
    await expect(Room.enter(options)).rejects.toMatchObject({ code: 'not_permitted' });
    expect(Server.last.asked.at(-1)).toMatchObject({ op: 'exitRoom' });
    expect(Server.last.readyState).toBe(3);
  });
});
