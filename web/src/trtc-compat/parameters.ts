// Checks an application's arguments, with the codes that TRTC gives for mistakes. Pure.

import { EXTRA, refuse } from './error';
import type { CustomMessageData, EnterRoomConfig, SwitchRoomConfig } from './types';

const MAX_ROOM_ID = 4_294_967_294;

/** The room: `roomId` wins if both are given. */
export function roomOf({ roomId, strRoomId }: Pick<SwitchRoomConfig, 'roomId' | 'strRoomId'>, fnName: string): number | string {
  if (roomId !== undefined && roomId !== 0) {
    if (typeof roomId !== 'number') throw refuse('INVALID_PARAMETER', fnName, 'roomId must be a number; use strRoomId for a string', EXTRA.ROOM_ID_IS_STRING);
    if (!Number.isInteger(roomId) || roomId < 1 || roomId > MAX_ROOM_ID) {
      throw refuse('INVALID_PARAMETER', fnName, `roomId must be an integer from 1 to ${MAX_ROOM_ID}, not ${roomId}`, EXTRA.ROOM_ID_RANGE);
    }
    return roomId;
  }
  if (strRoomId === undefined || strRoomId === '') throw refuse('INVALID_PARAMETER', fnName, 'give roomId or strRoomId', EXTRA.NO_ROOM);
  if (typeof strRoomId !== 'string' || new TextEncoder().encode(strRoomId).length > 64) {
    throw refuse('INVALID_PARAMETER', fnName, 'strRoomId must be a string of at most 64 bytes', EXTRA.STR_ROOM_ID);
  }
  return strRoomId;
}

export function checkEntry({ sdkAppId, userId, userSig }: EnterRoomConfig, fnName: string): void {
  for (const [name, value, type] of [['sdkAppId', sdkAppId, 'number'], ['userId', userId, 'string'], ['userSig', userSig, 'string']] as const) {
    if (value === undefined || value === '') throw refuse('INVALID_PARAMETER', fnName, `${name} is missing`, EXTRA.MISSING);
    if (typeof value !== type) throw refuse('INVALID_PARAMETER', fnName, `${name} must be a ${type}`, EXTRA.WRONG_TYPE);
  }
}

export function checkMessage({ cmdId, data }: CustomMessageData, fnName: string): void {
  if (!Number.isInteger(cmdId) || cmdId < 1 || cmdId > 10) throw refuse('INVALID_PARAMETER', fnName, `cmdId must be from 1 to 10, not ${cmdId}`, EXTRA.OUT_OF_RANGE);
  if (!(data instanceof ArrayBuffer)) throw refuse('INVALID_PARAMETER', fnName, 'data must be an ArrayBuffer', EXTRA.WRONG_TYPE);
  if (data.byteLength === 0) throw refuse('INVALID_PARAMETER', fnName, 'data is empty', EXTRA.EMPTY_MESSAGE);
  if (data.byteLength > 1024) throw refuse('INVALID_PARAMETER', fnName, `data has ${data.byteLength} bytes; at most 1024 are sent`, EXTRA.LARGE_MESSAGE);
}

/** The server's WebSocket, from the address of a server or of its WebSocket. */
export function socketUrl(server: string, base: string): string {
  const url = new URL(server || '/ws', base);
  url.protocol = url.protocol.replace('http', 'ws');
  if (url.pathname === '/' || url.pathname === '') url.pathname = '/ws';
  return url.href;
}
