// What this browser can do, its devices and their permissions, in the words of TRTC.

import { canShareScreen, capture, listDevices } from '../sdk/devices';
import type { Source } from '../sdk/types';
import type { PermissionOption, PermissionResult } from './types';

export async function support() {
  const isWebRTCSupported = typeof RTCPeerConnection === 'function';
  const isMediaDevicesSupported = typeof navigator.mediaDevices?.getUserMedia === 'function';
  const isScreenShareSupported = canShareScreen();
  const codecs = (isWebRTCSupported ? RTCRtpSender.getCapabilities('video')?.codecs : undefined) ?? [];
  const has = (name: string) => codecs.some(({ mimeType }) => mimeType.toLowerCase() === `video/${name}`);
  const detail = {
    isBrowserSupported: isWebRTCSupported,
    isWebRTCSupported,
    isWebCodecsSupported: 'VideoEncoder' in globalThis,
    isMediaDevicesSupported,
    isScreenShareSupported,
    isSmallStreamSupported: isWebRTCSupported,
    isH264EncodeSupported: has('h264'),
    isH264DecodeSupported: has('h264'),
    isVp8EncodeSupported: has('vp8'),
    isVp8DecodeSupported: has('vp8'),
  };
  return Promise.resolve({ result: isWebRTCSupported && (has('h264') || has('vp8')), detail });
}

export async function permissions({ request = true, types = ['camera', 'microphone'] }: PermissionOption = {}): Promise<PermissionResult> {
  if (request) {
    for (const type of types) {
      const stream = await capture(type === 'camera' ? 'camera' : 'audio').catch(() => undefined);
      stream?.getTracks().forEach((track) => track.stop());
    }
  }
  const [camera, microphone] = await Promise.all([permission('camera'), permission('microphone')]);
  return { camera: types.includes('camera') ? camera?.state ?? null : null, microphone: types.includes('microphone') ? microphone?.state ?? null : null };
}

/** `requestPermission`: opens a device of the kind for a moment, so that the list has names. */
export async function list(kind: MediaDeviceKind, source: Source, requestPermission: boolean): Promise<MediaDeviceInfo[]> {
  const known = await listDevices(kind);
  if (!requestPermission || known.some(({ label }) => label !== '')) return known;
  // Without a device or a permission the list stays as it is.
  const stream = await capture(source).catch(() => undefined);
  stream?.getTracks().forEach((track) => track.stop());
  return listDevices(kind);
}

async function permission(name: 'camera' | 'microphone'): Promise<PermissionStatus | undefined> {
  // Not every browser can be asked.
  return navigator.permissions?.query({ name: name as PermissionName }).catch(() => undefined);
}

export function watchPermissions(listener: (state: { camera: PermissionState; microphone: PermissionState }) => void): () => void {
  let stopped = false;
  void Promise.all([permission('camera'), permission('microphone')]).then(([camera, microphone]) => {
    if (!camera || !microphone) return;
    const tell = () => {
      if (!stopped) listener({ camera: camera.state, microphone: microphone.state });
    };
    camera.onchange = tell;
    microphone.onchange = tell;
  });
  return () => { stopped = true; };
}
