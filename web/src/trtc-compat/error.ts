// Errors with the codes that applications of TRTC know.

import { RotundaError } from '../sdk/types';

export const ERROR_CODE = {
  INVALID_PARAMETER: 5000,
  INVALID_OPERATION: 5100,
  ENV_NOT_SUPPORTED: 5200,
  DEVICE_ERROR: 5300,
  SERVER_ERROR: 5400,
  OPERATION_FAILED: 5500,
  OPERATION_ABORT: 5998,
  UNKNOWN_ERROR: 5999,
};

/** By the code of {@link RotundaError}: the code, and a finer one where TRTC has it. */
const codes: Record<string, [code: number, extraCode?: number]> = {
  device_not_found: [ERROR_CODE.DEVICE_ERROR, 5301],
  permission_denied: [ERROR_CODE.DEVICE_ERROR, 5302],
  permission_denied_by_system: [ERROR_CODE.DEVICE_ERROR, 5302],
  screen_not_chosen: [ERROR_CODE.DEVICE_ERROR, 5302],
  device_busy: [ERROR_CODE.DEVICE_ERROR, 5303],
  device_unsuitable: [ERROR_CODE.DEVICE_ERROR, 5304],
  device_failed: [ERROR_CODE.DEVICE_ERROR],
  gesture_required: [ERROR_CODE.INVALID_OPERATION],
  screen_not_supported: [ERROR_CODE.ENV_NOT_SUPPORTED],
  output_not_supported: [ERROR_CODE.ENV_NOT_SUPPORTED],
  insecure_page: [ERROR_CODE.ENV_NOT_SUPPORTED],
  bad_request: [ERROR_CODE.INVALID_PARAMETER],
  bad_mix: [ERROR_CODE.INVALID_PARAMETER],
  bad_push: [ERROR_CODE.INVALID_PARAMETER],
  bad_custom_message: [ERROR_CODE.INVALID_PARAMETER],
  custom_message_too_large: [ERROR_CODE.INVALID_PARAMETER],
  custom_message_rate: [ERROR_CODE.INVALID_OPERATION],
  not_in_room: [ERROR_CODE.INVALID_OPERATION],
  already_in_room: [ERROR_CODE.INVALID_OPERATION],
  not_published: [ERROR_CODE.INVALID_OPERATION],
  too_many_video_requests: [ERROR_CODE.INVALID_OPERATION],
  disconnected: [ERROR_CODE.OPERATION_FAILED],
  unreachable: [ERROR_CODE.OPERATION_FAILED],
  timeout: [ERROR_CODE.OPERATION_FAILED],
  codec_not_supported: [ERROR_CODE.OPERATION_FAILED],
  token_refused: [ERROR_CODE.SERVER_ERROR, 70003],
  token_unchecked: [ERROR_CODE.SERVER_ERROR],
  user_sig_expired: [ERROR_CODE.SERVER_ERROR, 70001],
  user_sig_invalid: [ERROR_CODE.SERVER_ERROR, 70003],
  user_sig_user_mismatch: [ERROR_CODE.SERVER_ERROR, 70013],
  user_sig_app_mismatch: [ERROR_CODE.SERVER_ERROR, 70014],
  unknown_application: [ERROR_CODE.SERVER_ERROR, 70020],
  private_map_key_invalid: [ERROR_CODE.SERVER_ERROR, -100006],
  room_full: [ERROR_CODE.SERVER_ERROR, -102052],
  not_permitted: [ERROR_CODE.SERVER_ERROR, -102013],
  banned: [ERROR_CODE.SERVER_ERROR, -102013],
  admission_required: [ERROR_CODE.SERVER_ERROR, -102013],
  too_many_audio_publishers: [ERROR_CODE.SERVER_ERROR],
  too_many_video_publishers: [ERROR_CODE.SERVER_ERROR],
  mix_refused: [ERROR_CODE.SERVER_ERROR],
  push_refused: [ERROR_CODE.SERVER_ERROR],
  no_media_node: [ERROR_CODE.SERVER_ERROR],
  node_full: [ERROR_CODE.SERVER_ERROR],
  try_later: [ERROR_CODE.SERVER_ERROR],
  internal: [ERROR_CODE.SERVER_ERROR],
};

export interface RTCErrorParams {
  code: number;
  extraCode?: number;
  functionName?: string;
  fnName?: string;
  message?: string;
  messageParams?: unknown;
  originError?: Error | DOMException;
}

export class RtcError extends Error {
  readonly code: number;
  readonly extraCode?: number;
  readonly functionName: string;
  handler?: () => void;
  data?: unknown;
  originError?: Error | DOMException | RtcError;

  constructor({ code, extraCode, functionName, fnName, message = '', originError }: RTCErrorParams) {
    super(message);
    this.name = 'RtcError';
    this.code = code;
    this.extraCode = extraCode;
    this.functionName = functionName ?? fnName ?? '';
    this.originError = originError;
  }

  static convertFrom(originError: Error, fnName = ''): RtcError {
    if (originError instanceof RtcError) return originError;
    const [code, extraCode] = codes[originError instanceof RotundaError ? originError.code : ''] ?? [ERROR_CODE.UNKNOWN_ERROR];
    return new RtcError({ code, extraCode, fnName, message: originError.message, originError });
  }
}

export function refuse(code: keyof typeof ERROR_CODE, fnName: string, message: string, extraCode?: number): RtcError {
  return new RtcError({ code: ERROR_CODE[code], extraCode, fnName, message });
}

/** Finer codes of TRTC for mistakes in a call. */
export const EXTRA = {
  MISSING: 5001,
  WRONG_TYPE: 5002,
  OUT_OF_RANGE: 5005,
  NO_SUCH_ELEMENT: 5009,
  ROOM_ID_RANGE: 5012,
  STR_ROOM_ID: 5013,
  NO_ROOM: 5015,
  ROOM_ID_IS_STRING: 5016,
  EMPTY_MESSAGE: 5017,
  LARGE_MESSAGE: 5018,
  NOT_ENTERED: 5101,
  NO_SUCH_USER: 5102,
  NO_SUCH_STREAM: 5103,
  REPEATED: 5104,
} as const;
