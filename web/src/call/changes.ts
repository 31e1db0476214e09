// The state of a device in a call, and the events between two views of the call. Pure.

import { END_REASON, type CallEvents } from './events';
import { typeOf, type CallView, type Party, type PartyState } from './types';

export type Status = 'idle' | 'calling' | 'connected';

/** This user and this device. */
export interface Self {
  userId: string;
  deviceId: string;
}

export type Change = { [Name in keyof CallEvents]: { name: Name; data: CallEvents[Name] } }[keyof CallEvents & string];

/** idle → calling (rings here, or calls) → connected (in the call with somebody) → idle. */
export function statusOf(view: CallView | undefined, self: Self): Status {
  const own = view && party(view, self.userId);
  if (!view || !own || view.ended) return 'idle';
  if (own.state === 'ringing') return 'calling';
  if (own.state !== 'joined' || own.deviceId !== self.deviceId) return 'idle';
  return view.answeredForMs === undefined ? 'calling' : 'connected';
}

/** Whether this device is in the call, so that it has media. */
export function isIn(view: CallView | undefined, self: Self): boolean {
  const own = view && party(view, self.userId);
  return !view?.ended && own?.state === 'joined' && own.deviceId === self.deviceId;
}

/**
 * What has happened between two views. `before`: undefined for a call that is new to this device; `began`: this device has begun the
 * call.
 */
export function changes(before: CallView | undefined, after: CallView, self: Self, began = false): Change[] {
  const events: Change[] = [];
  const was = statusOf(before, self);
  const is = statusOf(after, self);
  const concerned = began || was !== 'idle' || is !== 'idle';
  if (!concerned) return events;
  const add = <Name extends keyof CallEvents & string>(name: Name, data: CallEvents[Name]) => events.push({ name, data } as Change);
  const own = party(after, self.userId);
  const ownBefore = before && party(before, self.userId)?.state;
  const callRole = after.inviter === self.userId ? 'inviter' : 'invitee';
  const about = { callID: after.callId, roomID: after.roomId, callMediaType: typeOf(after.media), callRole } as const;
  const end = (reason: number, message: string, userID: string, milliseconds: number) => {
    const totalTime = Math.round(milliseconds / 1000);
    add('onCallEnd', { ...about, userID, totalTime, callEnd: totalTime, reason, message });
  };

  if (own?.state === 'ringing' && ownBefore !== 'ringing') add('onInvited', invitation(after, self));
  for (const one of after.parties) {
    if (one.userId === self.userId) continue;
    const former = before && party(before, one.userId)?.state;
    if (former !== one.state) tell(add, after, one, former);
  }
  const invited = after.parties.filter(({ userId }) => !before || !party(before, userId));
  if (before && invited.length > 0) {
    add('onGroupCallInviteeListUpdate', { userIDList: after.parties.filter(({ state }) => state === 'ringing').map(({ userId }) => userId) });
  }
  if (before && before.media !== after.media) add('onCallTypeChanged', { type: typeOf(after.media) });
  if (is === 'connected' && was !== 'connected') add('onCallBegin', about);

  if (ownBefore === 'ringing' && own?.state === 'joined' && own.deviceId !== self.deviceId) {
    end(END_REASON.answeredElsewhere, 'answeredElsewhere', self.userId, 0);
  } else if (ownBefore === 'ringing' && own?.state === 'rejected' && own.deviceId !== self.deviceId) {
    end(END_REASON.rejectedElsewhere, 'rejectedElsewhere', self.userId, 0);
  } else if (ownBefore === 'ringing' && own?.state === 'cancelled') {
    add('onCallingCancel', { inviteID: after.callId, invitee: self.userId, userID: after.inviter });
    end(END_REASON.cancelled, 'cancelled', after.inviter, 0);
  } else if (ownBefore === 'ringing' && (own?.state === 'noAnswer' || own?.state === 'offline')) {
    add('onCallingTimeout', noAnswer(after, self.userId));
    end(END_REASON.noAnswer, 'noAnswer', self.userId, 0);
  } else if (is === 'idle') {
    const reason = after.ended?.reason ?? (own?.state === 'rejected' ? 'rejected' : own?.state === 'lost' ? 'lost' : 'hangUp');
    const milliseconds = after.ended?.durationMs ?? after.answeredForMs ?? 0;
    end(END_REASON[reason], reason, self.userId, own?.state === 'rejected' ? 0 : milliseconds);
  }
  return events;
}

function tell(
  add: <Name extends keyof CallEvents & string>(name: Name, data: CallEvents[Name]) => void, view: CallView, one: Party, former?: PartyState,
): void {
  const answer = { inviteID: view.callId, invitee: one.userId, userID: one.userId };
  switch (one.state) {
    case 'joined':
      if (one.userId !== view.inviter) {
        add('onUserAccept', { userID: one.userId, userList: view.parties.filter(({ state }) => state === 'joined').map(({ userId }) => userId) });
      }
      add('onUserEnter', { userID: one.userId });
      break;
    case 'rejected': add('onReject', answer); break;
    case 'busy': add('onLineBusy', answer); break;
    case 'noAnswer':
    case 'offline': add('onNoResp', noAnswer(view, one.userId)); break;
    case 'left':
    case 'lost':
      if (former === 'joined') add('onUserLeave', { userID: one.userId });
      break;
    default: break;
  }
}

function invitation(view: CallView, self: Self): CallEvents['onInvited'] {
  const invitees = view.parties.filter(({ userId }) => userId !== view.inviter).map(({ userId }) => userId);
  return {
    sponsor: party(view, self.userId)?.invitedBy ?? view.inviter,
    inviteeList: invitees,
    userIDList: invitees,
    isFromGroup: view.isGroup,
    inviteID: view.callId,
    inviteData: { callType: typeOf(view.media), roomID: view.roomId },
    userData: view.userData,
  };
}

function noAnswer(view: CallView, userId: string): CallEvents['onNoResp'] {
  return { groupID: view.groupId, inviteID: view.callId, sponsor: view.inviter, timeoutUserList: [userId], userIDList: [userId] };
}

export function party(view: CallView, userId: string): Party | undefined {
  return view.parties.find((one) => one.userId === userId);
}
