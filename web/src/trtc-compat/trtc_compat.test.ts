import { describe, expect, test } from 'vitest';
import { RotundaError, type Source } from '../sdk/types';
import { end, failureOf, mixOf, publish } from './cdn_streaming';
import { cameraOptions, microphoneOptions, statisticsOf } from './convert';
import { EventTargetOfTRTC } from './emitter';
import { ERROR_CODE, RtcError } from './error';
import { Outbox } from './outbox';
import { checkMessage, roomOf, socketUrl } from './parameters';
import { Presence } from './presence';

describe('the events of a room', () => {
  const bob = { userId: 'bob', audio: 'on' as const, camera: 'on' as const };

  test('a member enters before their sources begin, and leaves after they have ended', () => {
    const presence = new Presence('ann', 'rtc');
    expect(presence.update({ members: ['ann', 'bob'], publishers: [bob, { userId: 'ann', audio: 'on' }] })).toEqual([
      { event: 'enter', userId: 'bob' }, { event: 'audio', userId: 'bob' }, { event: 'video', userId: 'bob', streamType: 'main' },
    ]);
    expect(presence.update({ members: ['ann'], publishers: [] }).map(({ event }) => event)).toEqual(['noAudio', 'noVideo', 'exit']);
    expect(presence.update({ members: ['ann'], publishers: [] })).toEqual([]);
  });

  test('a muted source is not available, and the screen is the sub stream', () => {
    const presence = new Presence('ann', 'rtc');
    presence.update({ members: ['bob'], publishers: [bob] });
    expect(presence.update({ members: ['bob'], publishers: [{ ...bob, audio: 'muted', screen: 'on' }] })).toEqual([
      { event: 'noAudio', userId: 'bob' }, { event: 'video', userId: 'bob', streamType: 'sub' },
    ]);
    expect(presence.sends('bob', 'main')).toBe(true);
    expect(presence.sends('bob', 'audio')).toBe(false);
  });

  test('in the scene live nobody learns of the audience, and an anchor who stops sending stays', () => {
    const presence = new Presence('ann', 'live');
    expect(presence.update({ members: ['bob', 'cat'], publishers: [bob] }).map(({ userId }) => userId)).not.toContain('cat');
    expect(presence.update({ members: ['bob', 'cat'], publishers: [] }).map(({ event }) => event)).toEqual(['noAudio', 'noVideo']);
    expect(presence.update({ members: ['cat'], publishers: [] })).toEqual([{ event: 'exit', userId: 'bob' }]);
  });
});

describe('what the member wants to send', () => {
  const track = () => ({ enabled: true }) as MediaStreamTrack;

  function setup(refused?: Source) {
    const told: string[] = [];
    const sends = new Set<Source>();
    const muted: Source[] = [];
    const room = {
      publish: (source: Source) => {
        if (source === refused) return Promise.reject(new RotundaError('too_many_audio_publishers', 'full'));
        sends.add(source);
        return Promise.resolve();
      },
      unpublish: (source: Source) => { sends.delete(source); return Promise.resolve(); },
      mute: (source: Source) => { muted.push(source); return Promise.resolve(); },
      isPublishing: (source: Source) => sends.has(source),
    };
    const outbox = new Outbox({
      starting: (source) => told.push(`${source} starting`),
      started: (source) => told.push(`${source} started`),
      stopped: (source, error) => told.push(`${source} stopped${error ? ' by an error' : ''}`),
    });
    return { outbox, room, sends, muted, told };
  }

  test('is sent when the room is entered, muted as it was, and again in the next room', async () => {
    const { outbox, room, sends, muted, told } = setup();
    await outbox.publish('camera', track());
    await outbox.mute('camera', true);
    expect(told).toEqual([]);
    await outbox.enter(room);
    expect(sends).toEqual(new Set(['camera']));
    expect(muted).toEqual(['camera']);
    outbox.exit();
    sends.clear();
    await outbox.enter(room);
    expect(told).toEqual(['camera starting', 'camera started', 'camera stopped', 'camera starting', 'camera started']);
  });

  test('is kept back with `publish: false`', async () => {
    const { outbox, room, sends } = setup();
    await outbox.enter(room);
    await outbox.hold('camera', true);
    await outbox.publish('camera', track());
    expect(sends.size).toBe(0);
    await outbox.hold('camera', false);
    expect(sends.size).toBe(1);
    await outbox.hold('camera', true);
    expect(sends.size).toBe(0);
  });

  test('a refused source does not keep the others from being sent', async () => {
    const { outbox, room, sends, told } = setup('audio');
    await outbox.publish('audio', track());
    await outbox.publish('camera', track());
    await outbox.enter(room);
    expect(sends).toEqual(new Set(['camera']));
    expect(told).toContain('audio stopped by an error');
    await expect(outbox.publish('audio', track())).rejects.toMatchObject({ code: 'too_many_audio_publishers' });
  });
});

describe('arguments', () => {
  test('the room is roomId, or strRoomId without it', () => {
    expect(roomOf({ roomId: 7, strRoomId: 'x' }, 'f')).toBe(7);
    expect(roomOf({ roomId: 0, strRoomId: '7' }, 'f')).toBe('7');
    expect(() => roomOf({ roomId: 4_294_967_295 }, 'f')).toThrow(expect.objectContaining({ code: 5000, extraCode: 5012, functionName: 'f' }));
    expect(() => roomOf({ strRoomId: 'x'.repeat(65) }, 'f')).toThrow(expect.objectContaining({ extraCode: 5013 }));
    expect(() => roomOf({}, 'f')).toThrow(expect.objectContaining({ extraCode: 5015 }));
  });

  test('a message has 1 to 1024 bytes and a command of 1 to 10', () => {
    expect(() => checkMessage({ cmdId: 1, data: new ArrayBuffer(1024) }, 'f')).not.toThrow();
    expect(() => checkMessage({ cmdId: 1, data: new ArrayBuffer(1025) }, 'f')).toThrow(expect.objectContaining({ extraCode: 5018 }));
    expect(() => checkMessage({ cmdId: 1, data: new ArrayBuffer(0) }, 'f')).toThrow(expect.objectContaining({ extraCode: 5017 }));
    expect(() => checkMessage({ cmdId: 11, data: new ArrayBuffer(1) }, 'f')).toThrow(expect.objectContaining({ extraCode: 5005 }));
  });

  test.each([
    ['', 'https://page.example/app/', 'wss://page.example/ws'],
    ['https://rotunda.example', 'https://page.example/', 'wss://rotunda.example/ws'],
    ['wss://rotunda.example/rtc/ws', 'https://page.example/', 'wss://rotunda.example/rtc/ws'],
    ['http://localhost:8080/', 'http://localhost/', 'ws://localhost:8080/ws'],
  ])('the server %j of a page at %s is %s', (server, page, socket) => {
    expect(socketUrl(server, page)).toBe(socket);
  });

  test('profiles become the wanted size, and only what is given is asked of a microphone', () => {
    expect(cameraOptions({ profile: '720p', cameraId: 'c' })).toEqual({ width: 1280, height: 720, frameRate: 15, deviceId: 'c' });
    expect(microphoneOptions({ profile: 'high-stereo', echoCancellation: 'all' })).toEqual({ channelCount: 2, echoCancellation: true });
    expect(microphoneOptions({})).toEqual({});
  });
});

test('errors of the server and of devices have the codes of TRTC', () => {
  const codeOf = (code: string) => {
    const { code: number, extraCode } = RtcError.convertFrom(new RotundaError(code, 'no'), 'enterRoom');
    return [number, extraCode];
  };
  expect(codeOf('user_sig_expired')).toEqual([ERROR_CODE.SERVER_ERROR, 70001]);
  expect(codeOf('permission_denied')).toEqual([ERROR_CODE.DEVICE_ERROR, 5302]);
  expect(codeOf('something_new')).toEqual([ERROR_CODE.UNKNOWN_ERROR, undefined]);
  const own = new RtcError({ code: 5100 });
  expect(RtcError.convertFrom(own)).toBe(own);
});

test('a mix of a layout is a manual mix', () => {
  const target = { publishMode: 'PublishMixStreamToCDN' as const, streamId: 'show' };
  expect(mixOf({
    target,
    encoding: { videoWidth: 1280, videoHeight: 720 },
    mix: {
      videoLayoutList: [{ fixedVideoUser: { userId: 'ann' }, width: 640, height: 720, locationX: 0, zOrder: 1 }, { userId: 'bob', fixedVideoStreamType: 'sub' }],
      audioMixUserList: [{ userId: 'ann' }, { userId: 'cat', roomId: 7 }],
    },
  })).toMatchObject({
    mode: 'manual', streamId: 'show', videoWidth: 1280,
    mixUsers: [{ userId: 'ann', x: 0, width: 640, streamType: 'big' }, { userId: 'bob', streamType: 'sub' }, { userId: 'cat', roomId: 7, pureAudio: true }],
  });
});

test('of the layers of a camera the largest is the big stream', () => {
  const video = (height: number, videoType: 'main' | 'sub' = 'main') => ({ videoType, width: height * 2, height, frameRate: 15, bitrate: 100 });
  const statistics = statisticsOf({
    rtt: 1, upLoss: 0, downLoss: 0, bytesSent: 1, bytesReceived: 1,
    localStatistics: { video: [video(180), video(720), video(1080, 'sub')] },
    remoteStatistics: [{ userId: 'bob', audio: { bitrate: 30 }, video: [video(360)] }],
  }, [{ userId: 'bob', volume: 50 }]);
  expect(statistics.localStatistics.video.map(({ videoType }) => videoType)).toEqual(['small', 'big', 'sub']);
  expect(statistics.remoteStatistics[0]).toMatchObject({ audio: { bitrate: 30, audioLevel: 0.5 }, video: [{ videoType: 'big' }] });
});

test('handlers have a context, are removed one by one or all, and one that throws stops no other', () => {
  class Source extends EventTargetOfTRTC {
    tell = () => this.emit('screen-share-stopped');
  }
  const source = new Source();
  const calls: unknown[] = [];
  const context = { name: 'context' };
  function handler(this: unknown) { calls.push(this); }
  source.on('screen-share-stopped', () => { throw new Error('a fault of the application'); });
  source.on('screen-share-stopped', handler, context);
  const { error } = console;
  console.error = () => {};
  source.tell();
  source.off('screen-share-stopped', handler, context);
  source.tell();
  source.off('*');
  source.tell();
  console.error = error;
  expect(calls).toEqual([context]);
});

describe('the plugin CDNStreaming', () => {
  const recorded = () => {
    const said: unknown[] = [];
    const note = (name: string) => (...values: unknown[]) => {
      said.push([name, ...values]);
      return Promise.resolve();
    };
    return { said, room: { setMixTranscodingConfig: note('mix'), startPublishCDNStream: note('push'), stopPublishCDNStream: note('end') } };
  };
  const url = 'rtmp://cdn.example.com/live/key';

  test('pushes the own streams to another server, and ends what it is told to end', async () => {
    const { said, room } = recorded();
    await publish(room, { target: { publishMode: 'PublishMainStreamToCDN', url } }, 'f');
    await publish(room, { target: { publishMode: 'PublishSubStreamToCDN', url } }, 'f');
    await end(room, { target: { publishMode: 'PublishSubStreamToCDN' } }, 'f');
    await end(room, undefined, 'f');
    expect(said).toEqual([
      ['push', { source: 'camera', url }], ['push', { source: 'screen', url }], ['end', 'screen'], ['mix', null], ['end', 'camera'], ['end', 'screen'],
    ]);
  });

  test('pushes a mix to another server, and leaves no mix behind where the push is refused at its start', async () => {
    const { said, room } = recorded();
    const target = { publishMode: 'PublishMixStreamToCDN' as const, url };
    await publish(room, { target }, 'startPlugin');
    await publish(room, { target: { publishMode: target.publishMode } }, 'updatePlugin');
    await end(room, { target }, 'stopPlugin');
    const mix = expect.objectContaining({ mode: 'manual' }) as unknown;
    expect(said.splice(0)).toEqual([['mix', mix], ['push', { source: 'mix', url }], ['mix', mix], ['end', 'mix'], ['mix', null]]);
    const refusing = { ...room, startPublishCDNStream: () => Promise.reject(new RotundaError('push_refused', 'no')) };
    for (const call of ['startPlugin', 'updatePlugin']) await expect(publish(refusing, { target }, call)).rejects.toThrow('no');
    expect(said).toEqual([['mix', mix], ['mix', null], ['mix', mix]]);
  });

  test('refuses what a client cannot do, and names what to use', async () => {
    const { said, room } = recorded();
    await expect(publish(room, { target: { publishMode: 'PublishMainStreamToCDN' } }, 'f')).rejects.toThrow(/streamId/);
    await expect(publish(room, { target: { publishMode: 'x' as 'PublishMainStreamToCDN' } }, 'f')).rejects.toMatchObject({ code: ERROR_CODE.INVALID_PARAMETER });
    expect(said).toEqual([]);
  });

  test('tells a push that has failed as an error, with its reason', () => {
    const error = { kind: 'refused' as const, message: 'the stream is in use' };
    expect(failureOf({ source: 'camera', state: 'recovering', error })).toBeUndefined();
    const failure = failureOf({ source: 'camera', state: 'failed', error });
    expect([failure?.code, failure?.extraCode]).toEqual([ERROR_CODE.OPERATION_FAILED, -3321]);
    expect(failure?.message).toContain('the stream is in use');
    expect(failureOf({ source: 'mix', state: 'ended' })).toBeUndefined();
    const withdrawn = failureOf({ source: 'mix', state: 'ended', error: { kind: 'not_permitted', message: 'the application does not permit it' } });
    expect(withdrawn?.message).toBe('the push of the mix to another server has ended: the application does not permit it');
  });
});
