import { beforeEach, expect, test } from 'vitest';
import { Emitter } from '../sdk/emitter';
import { RotundaError } from '../sdk/types';
import { CallEngine, type Links } from './engine';
import type { Registration } from './link';
import type { CallMedia } from './media';
import type { CallView, Identity, Media, PartyState } from './types';

class FakeLink extends Emitter<{ view: CallView; registered: Registration; reconnecting: boolean; closed: RotundaError }> {
  asked: [string, Record<string, unknown>][] = [];
  answers: Record<string, unknown> = {};
  closed = false;

  async connect(): Promise<void> {
    this.emit('registered', { missed: [] });
  }

  async request(op: string, fields: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    this.asked.push([op, fields]);
    const answer = this.answers[op] ?? {};
    if (answer instanceof Error) throw answer;
    return answer as Record<string, unknown>;
  }

  close(): void {
    this.closed = true;
  }

  tell = this.emit.bind(this);
}

class FakeMedia extends Emitter<{ changed: void; problem: RotundaError; reconnecting: boolean; closed: RotundaError }> implements CallMedia {
  camera = true;
  microphone = true;
  screen = false;
  readonly problems = new Map();
  left = false;

  constructor(readonly roomId: string, readonly media: Media) {
    super();
  }

  async leave(): Promise<void> {
    this.left = true;
  }

  async setCamera(on: boolean): Promise<void> {
    this.camera = on;
  }

  async setMicrophone(on: boolean): Promise<void> {
    this.microphone = on;
  }

  async setScreen(on: boolean): Promise<void> {
    this.screen = on;
  }

  tell = this.emit.bind(this);
}

const identity: Identity = { sdkAppId: 1, userId: 'bob', userSig: 'sig' };
let link: FakeLink;
let rooms: FakeMedia[];
let refuse: Error | undefined;
let engine: CallEngine;
let heard: string[];
let time: number;

function view(version: number, states: Record<string, PartyState>, more: Partial<CallView> = {}): CallView {
  const parties = Object.entries(states).map(([userId, state]) => ({
    userId, state, invitedBy: 'ann', deviceId: state === 'joined' && userId === 'bob' ? engine.deviceId : undefined,
  }));
  return { callId: 'c1', version, roomId: '@call:c1', inviter: 'ann', media: 'video', isGroup: false, parties, ...more };
}

const settle = () => new Promise((resolve) => { setTimeout(resolve, 0); });

beforeEach(async () => {
  link = new FakeLink();
  rooms = [];
  refuse = undefined;
  time = 0;
  heard = [];
  const media = async (_: Identity, roomId: string, kind: Media) => {
    if (refuse) throw refuse;
    const room = new FakeMedia(roomId, kind);
    rooms.push(room);
    return room;
  };
  engine = new CallEngine({ link: () => link as unknown as Links, media }, () => time);
  for (const name of ['onInvited', 'onCallBegin', 'onCallEnd', 'onUserLeave', 'onError', 'onCallTypeChanged', 'onKickedOut'] as const) {
    engine.on(name, (data) => heard.push(name === 'onError' ? `${name} ${(data as { name: string }).name}` : name));
  }
  await engine.login(identity);
});

test('a call that is accepted enters its room, counts its time and leaves the room at the end', async () => {
  link.tell('view', view(1, { ann: 'joined', bob: 'ringing' }));
  expect([engine.status, rooms.length]).toEqual(['calling', 0]);
  link.answers['accept'] = { call: view(2, { ann: 'joined', bob: 'joined' }, { answeredForMs: 500 }) };
  await engine.accept();
  expect([engine.status, rooms[0]?.roomId, rooms[0]?.media]).toEqual(['connected', '@call:c1', 'video']);
  time = 61_000;
  expect(engine.duration).toBe(61);
  link.tell('view', view(3, { ann: 'left', bob: 'left' }, { ended: { reason: 'hangUp', durationMs: 61_500 } }));
  expect([engine.status, rooms[0]?.left]).toEqual(['idle', true]);
  expect(heard).toEqual(['onInvited', 'onCallBegin', 'onUserLeave', 'onCallEnd']);
});

test('of two views the newer one counts, whichever comes first', () => {
  link.tell('view', view(2, { ann: 'left', bob: 'cancelled' }, { ended: { reason: 'cancelled', durationMs: 0 } }));
  link.tell('view', view(1, { ann: 'joined', bob: 'ringing' }));
  expect([engine.status, heard]).toEqual(['idle', []]);
});

test('a call of oneself enters the room before it is answered', async () => {
  link.answers['call'] = { call: view(1, { bob: 'joined', ann: 'ringing' }, { inviter: 'bob' }) };
  await engine.dial({ userID: 'ann', type: 2, timeout: 5 });
  expect(link.asked.find(([op]) => op === 'call')?.[1]).toMatchObject({ userIds: ['ann'], media: 'video', timeoutSeconds: 5 });
  expect([engine.status, rooms.length]).toEqual(['calling', 1]);
  await expect(engine.dial({ userID: 'cat', type: 1 })).rejects.toMatchObject({ code: 'already_in_call' });
});

test('hanging up ends the call here even while the server cannot be reached', async () => {
  link.answers['call'] = { call: view(1, { bob: 'joined', ann: 'ringing' }, { inviter: 'bob' }) };
  await engine.dial({ userID: 'ann', type: 1 });
  link.answers['hangUp'] = new RotundaError('disconnected', 'The connection is lost.');
  await engine.hangup();
  expect([engine.status, rooms[0]?.left, heard]).toEqual(['idle', true, ['onCallEnd']]);
  link.tell('view', view(2, { bob: 'left', ann: 'cancelled' }, { inviter: 'bob', ended: { reason: 'cancelled', durationMs: 0 } }));
  expect(heard).toEqual(['onCallEnd']);
});

test('hanging up while it rings rejects', async () => {
  link.tell('view', view(1, { ann: 'joined', bob: 'ringing' }));
  await engine.hangup();
  expect(link.asked.map(([op]) => op)).toContain('reject');
});

test('a room that cannot be entered ends the call with the error', async () => {
  link.tell('view', view(1, { ann: 'joined', bob: 'ringing' }));
  refuse = new RotundaError('node_full', 'The server is full.');
  link.answers['accept'] = { call: view(2, { ann: 'joined', bob: 'joined' }, { answeredForMs: 0 }) };
  await expect(engine.accept()).rejects.toMatchObject({ code: 'node_full' });
  await settle();
  expect(heard).toContain('onError node_full');
  expect([engine.status, link.asked.map(([op]) => op).includes('hangUp')]).toEqual(['idle', true]);
});

test('a room that is entered after the call has ended is left again', async () => {
  link.tell('view', view(1, { ann: 'joined', bob: 'ringing' }));
  link.tell('view', view(2, { ann: 'joined', bob: 'joined' }, { answeredForMs: 0 }));
  link.tell('view', view(3, { ann: 'left', bob: 'left' }, { ended: { reason: 'hangUp', durationMs: 1 } }));
  await settle();
  expect([rooms[0]?.left, engine.media]).toEqual([true, undefined]);
});

test('the switch to voice closes the camera, and one to video opens only that of the one who asked', async () => {
  link.tell('view', view(1, { ann: 'joined', bob: 'joined' }, { answeredForMs: 0 }));
  await settle();
  link.tell('view', view(2, { ann: 'joined', bob: 'joined' }, { answeredForMs: 9, media: 'audio' }));
  expect(rooms[0]?.camera).toBe(false);
  link.tell('view', view(3, { ann: 'joined', bob: 'joined' }, { answeredForMs: 9, media: 'video' }));
  expect(rooms[0]?.camera).toBe(false);
  link.answers['switchMedia'] = { call: view(4, { ann: 'joined', bob: 'joined' }, { answeredForMs: 9, media: 'video' }) };
  await engine.switchCallMediaType(2);
  expect(rooms[0]?.camera).toBe(true);
});

test('a call that has ended while the connection was lost has ended here, too', async () => {
  link.tell('view', view(1, { ann: 'joined', bob: 'joined' }, { answeredForMs: 0 }));
  await settle();
  link.tell('registered', { missed: [] });
  expect([engine.status, rooms[0]?.left]).toEqual(['idle', true]);
  expect(heard.at(-1)).toBe('onCallEnd');
});

test('an invitation to the same group call after leaving it rings again', async () => {
  const group = { isGroup: true, groupId: 'team' };
  link.tell('view', view(1, { ann: 'joined', cat: 'joined', bob: 'joined' }, { ...group, answeredForMs: 0 }));
  await settle();
  await engine.hangup();
  link.tell('view', view(2, { ann: 'joined', cat: 'joined', bob: 'left' }, { ...group, answeredForMs: 5 }));
  expect(engine.status).toBe('idle');
  link.tell('view', view(3, { ann: 'joined', cat: 'joined', bob: 'ringing' }, { ...group, answeredForMs: 9 }));
  expect([engine.status, heard.at(-1)]).toEqual(['calling', 'onInvited']);
});

test('another page of the same device takes its place', () => {
  link.tell('closed', new RotundaError('replaced', 'Another page has registered.'));
  expect(heard).toEqual(['onKickedOut']);
});
