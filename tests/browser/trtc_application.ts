// An application as people write them for the web SDK of TRTC. It is type-checked with their declarations and with those of the
// compatibility package, and runs in Chromium with the latter.

import TRTC from 'trtc-sdk-v5';

export interface Ticket {
  sdkAppId: number;
  userId: string;
  userSig: string;
}

const trtc = TRTC.create();
const log: string[] = [];

trtc.on(TRTC.EVENT.ERROR, (error) => {
  log.push(`error ${error.code} ${error.extraCode ?? ''} ${error.functionName} ${error.message}`);
});
trtc.on(TRTC.EVENT.REMOTE_USER_ENTER, ({ userId }) => log.push(`enter ${userId}`));
trtc.on(TRTC.EVENT.REMOTE_USER_EXIT, ({ userId, reason }) => log.push(`exit ${userId} ${reason ?? ''}`));
trtc.on(TRTC.EVENT.REMOTE_AUDIO_AVAILABLE, ({ userId }) => log.push(`audio ${userId}`));
trtc.on(TRTC.EVENT.REMOTE_AUDIO_UNAVAILABLE, ({ userId }) => log.push(`no audio ${userId}`));
trtc.on(TRTC.EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) => {
  log.push(`video ${userId} ${streamType}`);
  const view = `${userId}_${streamType}`;
  if (!document.getElementById(view)) document.body.append(Object.assign(document.createElement('div'), { id: view, className: 'view' }));
  trtc.startRemoteVideo({ userId, streamType, view, option: { fillMode: 'contain' } }).catch((error) => log.push(String(error)));
});
trtc.on(TRTC.EVENT.REMOTE_VIDEO_UNAVAILABLE, ({ userId, streamType }) => log.push(`no video ${userId} ${streamType}`));
trtc.on(TRTC.EVENT.FIRST_VIDEO_FRAME, ({ userId, streamType, width, height }) => log.push(`frame ${userId || 'self'} ${streamType} ${width > 0 && height > 0}`));
trtc.on(TRTC.EVENT.CONNECTION_STATE_CHANGED, ({ prevState, state }) => log.push(`${prevState} to ${state}`));
trtc.on(TRTC.EVENT.PUBLISH_STATE_CHANGED, ({ mediaType, state }) => log.push(`${mediaType} ${state}`));
trtc.on(TRTC.EVENT.KICKED_OUT, ({ reason }) => log.push(`kicked ${reason}`));
trtc.on(TRTC.EVENT.CUSTOM_MESSAGE, ({ userId, cmdId, data }) => log.push(`message ${userId} ${cmdId} ${new TextDecoder().decode(data)}`));
trtc.on(TRTC.EVENT.SCREEN_SHARE_STOPPED, () => log.push('screen share stopped'));
trtc.on(TRTC.EVENT.AUTOPLAY_FAILED, ({ userId, resume }) => {
  log.push(`blocked ${userId}`);
  void resume();
});

let volumes: Record<string, number> = {};
trtc.on(TRTC.EVENT.AUDIO_VOLUME, ({ result }) => {
  volumes = Object.fromEntries(result.map(({ userId, volume }) => [userId, volume]));
});

let quality = 0;
trtc.on(TRTC.EVENT.NETWORK_QUALITY, ({ uplinkNetworkQuality }) => { quality = uplinkNetworkQuality; });

let received: string[] = [];
trtc.on(TRTC.EVENT.STATISTICS, ({ remoteStatistics }) => {
  received = remoteStatistics.flatMap(({ userId, video }) => video.map(({ videoType, width }) => `${userId} ${videoType} ${width > 0}`));
});

async function enter(ticket: Ticket, strRoomId: string): Promise<void> {
  await trtc.enterRoom({ ...ticket, strRoomId, scene: TRTC.TYPE.SCENE_RTC });
  trtc.enableAudioVolumeEvaluation(200);
}

async function publish(): Promise<void> {
  await trtc.startLocalVideo({ view: 'local', option: { profile: '720p', mirror: true } });
  await trtc.startLocalAudio({ option: { profile: TRTC.TYPE.AUDIO_PROFILE_STANDARD } });
}

/** The number of the error, and the finer one. */
async function refused(action: () => Promise<unknown>): Promise<(number | undefined)[]> {
  try {
    await action();
    return [];
  } catch (error) {
    const { code, extraCode } = error as { code: number; extraCode?: number };
    return [code, extraCode];
  }
}

const state = () => ({ log, volumes, quality, received });

export { TRTC, enter, publish, refused, state, trtc };
