import { expect, test } from 'vitest';
import { deviceOf } from './screens/devices';

const member = (UserId: string, ...sources: ('audio' | 'camera')[]) => ({ UserId, JoinTime: 1, Node: 'node-1', Tracks: sources.map((Source) => ({ Source, State: 'on' })) });

test('a device is the member who is called like its room, with further members for more streams; the others watch', () => {
  const Members = [member('ann'), member('cam_front', 'audio', 'camera'), member('cam_front-1', 'camera'), member('cam_front-10'), member('cam_frontier', 'audio')];
  const device = deviceOf('iv:cam_front', { Total: 7, Members });
  expect(device).toMatchObject({ user: 'cam_front', streams: 2, viewers: 5, isMuted: false });
  expect(device.member?.UserId).toBe('cam_front');
});

test('a device that is away has viewers who wait', () => {
  expect(deviceOf('iv:cam_front', { Total: 1, Members: [member('ann')] })).toEqual({ room: 'iv:cam_front', user: 'cam_front', member: undefined, streams: 0, viewers: 1, isMuted: false });
});
