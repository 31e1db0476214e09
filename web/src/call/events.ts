// Events in the shape of the contract of calls, and the numbers of its errors.

import type { CallType, MissedCall } from './types';

/** Match on these names, not on their values. */
export const EVENT = {
  SDK_READY: 'sdkReady',
  INVITED: 'onInvited',
  USER_ACCEPT: 'onUserAccept',
  USER_ENTER: 'onUserEnter',
  USER_LEAVE: 'onUserLeave',
  REJECT: 'onReject',
  LINE_BUSY: 'onLineBusy',
  NO_RESP: 'onNoResp',
  CALLING_CANCEL: 'onCallingCancel',
  CALLING_TIMEOUT: 'onCallingTimeout',
  CALL_BEGIN: 'onCallBegin',
  CALL_END: 'onCallEnd',
  CALL_MODE: 'onCallTypeChanged',
  KICKED_OUT: 'onKickedOut',
  GROUP_CALL_INVITEE_LIST_UPDATE: 'onGroupCallInviteeListUpdate',
  /** Rotunda's own: calls of which no device has known. */
  MISSED_CALLS: 'onMissedCalls',
  ERROR: 'onError',
} as const;

interface Answer { inviteID: string; invitee: string; userID: string }
interface NoAnswer { groupID?: string; inviteID: string; sponsor: string; timeoutUserList: string[]; userIDList: string[] }

export interface CallEvents extends Record<string, unknown> {
  sdkReady: undefined;
  onInvited: {
    sponsor: string; inviteeList: string[]; userIDList: string[]; isFromGroup: boolean; inviteID: string;
    inviteData: { callType: CallType; roomID: string }; userData?: string;
  };
  onUserAccept: { userID: string; userList: string[] };
  onUserEnter: { userID: string };
  onUserLeave: { userID: string };
  onReject: Answer;
  onLineBusy: Answer;
  onNoResp: NoAnswer;
  onCallingCancel: { inviteID: string; invitee: string; userID: string };
  onCallingTimeout: NoAnswer;
  onCallBegin: { callID: string; roomID: string; callMediaType: CallType; callRole: 'inviter' | 'invitee' };
  onCallEnd: {
    userID: string; callID: string; roomID: string; callMediaType: CallType; callRole: 'inviter' | 'invitee';
    /** Seconds. */
    totalTime: number; callEnd: number;
    /** See {@link END_REASON}. */
    reason: number; message: string;
  };
  onCallTypeChanged: { type: CallType };
  onKickedOut: undefined;
  onGroupCallInviteeListUpdate: { userIDList: string[] };
  onMissedCalls: MissedCall[];
  onError: { code: number; message: string; name: string };
}

export const END_REASON = {
  unknown: 0, hangUp: 1, rejected: 2, noAnswer: 3, offline: 4, busy: 5, cancelled: 6, answeredElsewhere: 7, rejectedElsewhere: 8, lost: 9,
} as const;

/** The contract's numbers for the named errors; -1 for all others. */
const NUMBERS: Record<string, number> = {
  invalid_parameter: -1001,
  bad_request: -1001,
  not_registered: -1002,
  already_in_call: -1002,
  disconnected: -1002,
  not_in_call: -1002,
  permission_denied: -1101,
  device_not_found: -1102,
  device_busy: -1103,
  not_invited: -1003,
  not_a_group_call: -1003,
};

export function errorNumber(name: string): number {
  return NUMBERS[name] ?? -1;
}
