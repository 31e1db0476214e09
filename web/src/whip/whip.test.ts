import { expect, test } from 'vitest';
import { RotundaError } from '../sdk/types';
import { iceServers, refusal, restartFragment, restarted, retryAfter } from './http';
import { play, publish } from './index';

const ANSWER = 'v=0\r\na=ice-ufrag:srvA\r\na=ice-pwd:serverpasswordserverpass\r\nm=audio\r\na=ice-ufrag:srvA\r\na=ice-pwd:serverpasswordserverpass\r\n';

/** A browser whose connection is as the test says, and a server that answers what it is told to. */
function world(answers: Response[]) {
  const asked: { url: string; method: string; headers: Record<string, string>; body: string; keepalive: boolean }[] = [];
  const timers: { run: () => void; ms: number }[] = [];
  const remote: string[] = [];
  const added: [unknown, RTCRtpTransceiverInit][] = [];
  let listener = () => {};
  const pc = {
    connectionState: 'new', offers: 0, isClosed: false, localDescription: null as { sdp: string } | null, configuration: {} as RTCConfiguration,
    addEventListener: (_: string, run: () => void) => { listener = run; },
    addTransceiver: (kind: unknown, init: RTCRtpTransceiverInit) => {
      added.push([kind, init]);
      return { receiver: { track: {} } };
    },
    createOffer() {
      this.offers += 1;
      return Promise.resolve({ type: 'offer', sdp: `v=0\r\na=ice-ufrag:cli${this.offers}\r\na=ice-pwd:clientpasswordclientpass${this.offers}\r\n` });
    },
    setLocalDescription(description: { sdp: string }) {
      this.localDescription = description;
      return Promise.resolve();
    },
    setRemoteDescription({ sdp }: { sdp: string }) {
      remote.push(sdp);
      return Promise.resolve();
    },
    close() { this.isClosed = true; },
  };
  const around = {
    fetch: (url: string, init: RequestInit) => {
      asked.push({ url, method: String(init.method), headers: init.headers as Record<string, string>, body: String(init.body ?? ''), keepalive: init.keepalive ?? false });
      const answer = answers.shift();
      return answer ? Promise.resolve(answer) : Promise.reject(new Error('offline'));
    },
    connection: (configuration: RTCConfiguration) => {
      pc.configuration = configuration;
      return pc as unknown as RTCPeerConnection;
    },
    later: (run: () => void, ms: number) => timers.push({ run, ms }),
  };
  const become = (state: string) => {
    pc.connectionState = state;
    listener();
  };
  return { around, asked, timers, remote, added, pc, become };
}

const created = () => new Response(ANSWER, { status: 201, headers: { location: '/whip/1001/abc', etag: '"1"' } });
const options = { url: 'https://media.example/whip/1001', token: 'sig', iceServers: [] };
const track = {} as MediaStreamTrack;
const settled = async () => { for (let at = 0; at < 20; at += 1) await Promise.resolve(); };
const code = (promise: Promise<unknown>) => promise.then(() => 'none', (error: RotundaError) => error.code);

test('tracks are published in the order that the server expects, and stop deletes the session', async () => {
  const { around, asked, added, pc, remote, become } = world([created(), new Response()]);
  const camera = { ...track };
  const session = await publish({ ...options, camera, audio: track, screen: { ...track }, bitrate: 900_000 }, around);
  expect(added.map(([kind, init]) => [kind === track, init.sendEncodings?.[0]?.maxBitrate])).toEqual([[true, undefined], [false, 900_000], [false, undefined]]);
  expect(asked[0]).toMatchObject({ url: options.url, method: 'POST', headers: { 'authorization': 'Bearer sig', 'content-type': 'application/sdp' } });
  expect(remote).toEqual([ANSWER]);
  const states: string[] = [];
  session.on('state', (state) => states.push(state));
  let closed: unknown = 'not yet';
  session.on('closed', (error) => { closed = error; });
  become('connected');
  await session.stop();
  await session.stop();
  expect(states).toEqual(['connected', 'closed']);
  expect([closed, pc.isClosed, asked.length]).toEqual([undefined, true, 2]);
  expect(asked[1]).toMatchObject({ url: 'https://media.example/whip/1001/abc', method: 'DELETE', keepalive: true });
});

test('nothing, or a screen alone, is refused before anything is sent', async () => {
  const { around, asked } = world([]);
  expect([await code(publish(options, around)), await code(publish({ ...options, screen: track }, around))]).toEqual(['nothing_to_publish', 'no_camera']);
  expect(asked).toEqual([]);
});

test('the server is asked for its TURN servers, and those are used', async () => {
  const link = '<turn:t.example:3478?transport=udp>; rel="ice-server"; username="1:ann"; credential="a,b;c="; credential-type="password", <stun:s.example>; rel="ice-server", </x>; rel="help"';
  const { around, asked, pc } = world([new Response(null, { status: 204, headers: { link } }), created()]);
  await publish({ url: options.url, token: 'sig', audio: track }, around);
  expect(asked.map(({ method }) => method)).toEqual(['OPTIONS', 'POST']);
  expect(pc.configuration.iceServers).toEqual([{ urls: 'turn:t.example:3478?transport=udp', username: '1:ann', credential: 'a,b;c=' }, { urls: 'stun:s.example' }]);
  expect(iceServers(null)).toEqual([]);
});

test('a refusal has the code and words of the server, and closes the connection', async () => {
  const { around, pc } = world([new Response('too_many_video_publishers: the room already has 4 cameras\n', { status: 409 })]);
  await expect(publish({ ...options, audio: track }, around)).rejects.toMatchObject({ code: 'too_many_video_publishers', message: 'the room already has 4 cameras' });
  expect(pc.isClosed).toBe(true);
  expect(await code(publish({ ...options, audio: track }, world([]).around))).toBe('unreachable');
  expect((await refusal(new Response('<html>', { status: 502 }))).code).toBe('http_502');
});

test('a viewer waits for the publisher as long as the server says, or until it is ended', async () => {
  const absent = () => new Response('publisher_absent: ann is not there yet', { status: 409, headers: { 'retry-after': '3' } });
  const stream = class { constructor(readonly tracks: unknown[]) {} };
  Object.assign(globalThis, { MediaStream: stream });
  const { around, timers, asked } = world([absent(), created()]);
  const playing = play(options, around);
  await settled();
  expect(timers.map(({ ms }) => ms)).toEqual([3000]);
  timers[0]?.run();
  expect((await playing).stream).toBeInstanceOf(stream);
  expect(asked.length).toBe(2);
  expect(await code(play({ ...options, wait: false }, world([absent()]).around))).toBe('publisher_absent');
  const abort = new AbortController();
  const other = code(play({ ...options, signal: abort.signal }, world([absent()]).around));
  await settled();
  abort.abort();
  expect(await other).toBe('aborted');
  expect([retryAfter(absent()), retryAfter(new Response()), retryAfter(new Response(null, { headers: { 'retry-after': '900' } }))]).toEqual([3, 2, 30]);
});

test('a lost connection is restarted with new ICE credentials, and the session goes on', async () => {
  const fragment = 'a=ice-ufrag:srvB\r\na=ice-pwd:anotherpasswordanotherpass\r\n';
  const { around, asked, remote, timers, become } = world([created(), new Response('busy', { status: 503 }), new Response(fragment)]);
  const session = await publish({ ...options, audio: track }, around);
  become('connected');
  become('disconnected');
  become('failed');
  await settled();
  expect(session.state).toBe('reconnecting');
  timers.shift()?.run();
  await settled();
  expect(asked.slice(1).map(({ method, headers, body }) => [method, headers['if-match'], body])).toEqual([
    ['PATCH', '*', 'a=ice-ufrag:cli2\r\na=ice-pwd:clientpasswordclientpass2\r\n'], ['PATCH', '*', 'a=ice-ufrag:cli3\r\na=ice-pwd:clientpasswordclientpass3\r\n'],
  ]);
  expect(remote[1]).toBe(ANSWER.replaceAll('srvA', 'srvB').replaceAll('serverpasswordserverpass', 'anotherpasswordanotherpass'));
  become('connected');
  expect(session.state).toBe('connected');
});

test('a session that the server no longer has ends with its reason, and one that never comes back, too', async () => {
  const gone = world([created(), new Response('no_such_session: it has ended', { status: 404 })]);
  const session = await publish({ ...options, audio: track }, gone.around);
  let reason: string | undefined;
  session.on('closed', (error) => { reason = error?.code; });
  gone.become('failed');
  await settled();
  expect([session.state, reason]).toEqual(['closed', 'no_such_session']);

  const offline = world([created()]);
  const lost = await publish({ ...options, audio: track }, offline.around);
  lost.on('closed', (error) => { reason = error?.code; });
  offline.become('failed');
  for (let at = 0; at < 8; at += 1) {
    await settled();
    offline.timers.shift()?.run();
  }
  expect([lost.state, reason]).toEqual(['closed', 'disconnected']);
  expect(offline.asked.filter(({ method }) => method === 'PATCH').length).toBe(5);
});

test('fragments without credentials are told from those with them', () => {
  expect(restartFragment('v=0\r\n')).toBeUndefined();
  expect(restarted(ANSWER, 'a=candidate:1')).toBeUndefined();
});
