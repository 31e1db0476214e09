import { expect, test } from 'vitest';
import { changes, isIn, statusOf, type Self } from './changes';
import { END_REASON } from './events';
import type { CallView, Party, PartyState } from './types';

const ann: Self = { userId: 'ann', deviceId: 'phone' };
const bob: Self = { userId: 'bob', deviceId: 'phone' };

/** `bob: 'joined'`; the devices are `phone` unless `elsewhere` names one. */
function view(states: Record<string, PartyState>, more: Partial<CallView> = {}, elsewhere?: string): CallView {
  const parties: Party[] = Object.entries(states).map(([userId, state]) => ({
    userId, state, invitedBy: 'ann',
    deviceId: state === 'joined' || state === 'rejected' ? (elsewhere === userId ? 'tablet' : 'phone') : undefined,
  }));
  return { callId: '0000000000000007', version: 1, roomId: '@call:0000000000000007', inviter: 'ann', media: 'video', isGroup: parties.length > 2, parties, ...more };
}

const names = (...parameters: Parameters<typeof changes>) => changes(...parameters).map(({ name }) => name);
const calling = view({ ann: 'joined', bob: 'ringing' });
const talking = view({ ann: 'joined', bob: 'joined' }, { answeredForMs: 0 });

test('the states are idle, calling and connected', () => {
  expect(statusOf(undefined, ann)).toBe('idle');
  expect([statusOf(calling, ann), statusOf(calling, bob)]).toEqual(['calling', 'calling']);
  expect([isIn(calling, ann), isIn(calling, bob)]).toEqual([true, false]);
  expect([statusOf(talking, ann), statusOf(talking, bob)]).toEqual(['connected', 'connected']);
  expect(statusOf(view({ ann: 'joined', bob: 'joined' }, { answeredForMs: 0 }, 'bob'), bob)).toBe('idle');
  expect(statusOf(view({ ann: 'left', bob: 'left' }, { ended: { reason: 'hangUp', durationMs: 1 } }), ann)).toBe('idle');
});

test('an invitation names its sponsor, its type and its room', () => {
  const [event] = changes(undefined, calling, bob);
  expect(event).toEqual({ name: 'onInvited', data: {
    sponsor: 'ann', inviteeList: ['bob'], userIDList: ['bob'], isFromGroup: false, inviteID: calling.callId,
    inviteData: { callType: 2, roomID: calling.roomId }, userData: undefined,
  } });
});

test('an answer begins the call on both sides', () => {
  expect(names(calling, talking, ann)).toEqual(['onUserAccept', 'onUserEnter', 'onCallBegin']);
  expect(names(calling, talking, bob)).toEqual(['onCallBegin']);
});

test('each way in which an invitation ends has its event, and the caller hears the end', () => {
  const ended = (bobs: PartyState, reason: 'rejected' | 'busy' | 'noAnswer' | 'offline') => (
    names(calling, view({ ann: 'left', bob: bobs }, { ended: { reason, durationMs: 0 } }), ann));
  expect(ended('rejected', 'rejected')).toEqual(['onReject', 'onCallEnd']);
  expect(ended('noAnswer', 'noAnswer')).toEqual(['onNoResp', 'onCallEnd']);
  expect(ended('offline', 'offline')).toEqual(['onNoResp', 'onCallEnd']);
  const busy = view({ ann: 'left', bob: 'busy' }, { ended: { reason: 'busy', durationMs: 0 } });
  expect(names(undefined, busy, ann, true)).toEqual(['onLineBusy', 'onCallEnd']);
  expect(names(undefined, busy, ann)).toEqual([]);
  expect(names(undefined, busy, bob)).toEqual([]);
});

test('the callee hears that the call was cancelled or has timed out', () => {
  const cancelled = view({ ann: 'left', bob: 'cancelled' }, { ended: { reason: 'cancelled', durationMs: 0 } });
  expect(names(calling, cancelled, bob)).toEqual(['onUserLeave', 'onCallingCancel', 'onCallEnd']);
  const late = view({ ann: 'left', bob: 'noAnswer' }, { ended: { reason: 'noAnswer', durationMs: 0 } });
  expect(names(calling, late, bob)).toEqual(['onUserLeave', 'onCallingTimeout', 'onCallEnd']);
});

test('a device whose user has answered on another one stops ringing with the reason', () => {
  const reason = (after: CallView) => {
    const end = changes(calling, after, bob).find(({ name }) => name === 'onCallEnd');
    return (end?.data as { reason: number }).reason;
  };
  expect(reason(view({ ann: 'joined', bob: 'joined' }, { answeredForMs: 0 }, 'bob'))).toBe(END_REASON.answeredElsewhere);
  expect(reason(view({ ann: 'left', bob: 'rejected' }, { ended: { reason: 'rejected', durationMs: 0 } }, 'bob'))).toBe(END_REASON.rejectedElsewhere);
});

test('the end has the duration in seconds and the role', () => {
  const over = view({ ann: 'left', bob: 'left' }, { ended: { reason: 'hangUp', durationMs: 61_400 } });
  const events = changes(talking, over, bob);
  expect(events.map(({ name }) => name)).toEqual(['onUserLeave', 'onCallEnd']);
  expect(events[1]?.data).toMatchObject({ totalTime: 61, callEnd: 61, reason: 1, callRole: 'invitee', callMediaType: 2 });
});

test('in a group others come and go, and leaving ends the call for the one who leaves', () => {
  const before = view({ ann: 'joined', bob: 'joined', cat: 'ringing' }, { answeredForMs: 0 });
  expect(names(before, view({ ann: 'joined', bob: 'joined', cat: 'joined' }, { answeredForMs: 9 }), bob)).toEqual(['onUserAccept', 'onUserEnter']);
  expect(names(before, view({ ann: 'left', bob: 'joined', cat: 'ringing' }, { answeredForMs: 9 }), bob)).toEqual(['onUserLeave']);
  const more = view({ ann: 'joined', bob: 'joined', cat: 'ringing', dan: 'ringing' }, { answeredForMs: 9 });
  const [event] = changes(before, more, bob);
  expect(event).toEqual({ name: 'onGroupCallInviteeListUpdate', data: { userIDList: ['cat', 'dan'] } });
  expect(names(before, view({ ann: 'joined', bob: 'left', cat: 'joined' }, { answeredForMs: 9000 }), bob)).toContain('onCallEnd');
});

test('the switch to voice is told, and what does not change is not', () => {
  expect(names(talking, { ...talking, media: 'audio' }, ann)).toEqual(['onCallTypeChanged']);
  expect(names(talking, talking, ann)).toEqual([]);
});
