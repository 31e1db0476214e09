// Cameras, microphones, screens and speakers of this machine: opening them, errors in words, hot plug.

import { RotundaError, type Source } from './types';

export interface CaptureOptions {
  /** A device of {@link listDevices}; if it is gone, another one of its kind is used. */
  deviceId?: string;
  /** On phones: the camera at the front (`user`) or at the back (`environment`). */
  facingMode?: 'user' | 'environment';
  /** Pixels and frames per second that are wanted; a device may have others. */
  width?: number;
  height?: number;
  frameRate?: number;
  /** Echo cancellation, noise suppression and gain control; true by default. */
  processing?: boolean;
  /** Each of them alone; by default as `processing`. */
  echoCancellation?: boolean;
  noiseSuppression?: boolean;
  autoGainControl?: boolean;
  /** 2: a microphone in stereo, for music. */
  channelCount?: 1 | 2;
  /** With the screen: the audio of the shared tab or system, if the browser has it. */
  systemAudio?: boolean;
}

/** Opens a camera, a microphone or (after a choice by the person) a screen. Rejects with a {@link RotundaError} in words. */
export async function capture(source: Source, options: CaptureOptions = {}): Promise<MediaStream> {
  const { mediaDevices } = navigator;
  if (!mediaDevices) throw deviceError(undefined, source);
  const { deviceId, facingMode, width, height, frameRate, processing = true, channelCount, systemAudio = false } = options;
  const { echoCancellation = processing, noiseSuppression = processing, autoGainControl = processing } = options;
  try {
    if (source === 'audio') {
      return await mediaDevices.getUserMedia({
        audio: defined({ deviceId, channelCount, echoCancellation, noiseSuppression, autoGainControl }),
      });
    }
    const size = defined({ width: ideal(width), height: ideal(height), frameRate: ideal(frameRate) });
    if (source === 'screen' && !canShareScreen()) throw new RotundaError('screen_not_supported', 'This browser cannot share a screen. Share it from a computer.');
    if (source === 'screen') return await mediaDevices.getDisplayMedia({ video: Object.keys(size).length > 0 ? size : true, audio: systemAudio });
    return await mediaDevices.getUserMedia({ video: defined({ deviceId, facingMode, ...size }) });
  } catch (error) {
    throw deviceError(error, source);
  }
}

/** Whether this browser has a way to share a screen: those of many phones have none. */
export function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

const names: Record<Source, string> = { audio: 'microphone', camera: 'camera', screen: 'screen' };

/** The reason why a device cannot be used, with the next step. `code` is stable. */
export function deviceError(error: unknown, source: Source): RotundaError {
  if (error instanceof RotundaError) return error;
  const name = names[source];
  const { name: kind = '', message = '' } = error instanceof Error || error instanceof DOMException ? error : {};
  const refuse = (code: string, text: string) => new RotundaError(code, text);
  if (error === undefined) {
    return refuse('insecure_page', `Browsers give a page the ${name} only over HTTPS or on localhost. Open this page over HTTPS.`);
  }
  switch (kind) {
    case 'NotAllowedError':
    case 'SecurityError':
      if (/system/i.test(message)) {
        return refuse('permission_denied_by_system', `The operating system does not let this browser use the ${name}. Allow it in the system's privacy settings.`);
      }
      if (source === 'screen') return refuse('screen_not_chosen', 'No screen was chosen.');
      return refuse('permission_denied', `This page may not use the ${name}. Allow it with the icon beside the address, then try again.`);
    case 'NotFoundError':
    case 'DevicesNotFoundError':
      return refuse('device_not_found', `There is no ${name}. Connect one, then try again.`);
    case 'NotReadableError':
    case 'TrackStartError':
    case 'AbortError':
      return refuse('device_busy', `The ${name} cannot be opened: another program may be using it. Close that program, then try again.`);
    // Older versions of Safari have the second name (WebKit changed it in March 2024).
    case 'InvalidStateError':
    case 'InvalidAccessError':
      return refuse('gesture_required', `Browsers open the ${name} only in answer to a tap or a key. Open it from a button.`);
    case 'OverconstrainedError':
      return refuse('device_unsuitable', `The ${name} cannot do what was asked of it. Choose another one or a smaller size.`);
    default:
      return refuse('device_failed', `The ${name} cannot be opened: ${message || 'the browser gives no reason'}.`);
  }
}

/** The devices of one kind. Their labels are empty until the page has opened one of that kind. */
export async function listDevices(kind: MediaDeviceKind): Promise<MediaDeviceInfo[]> {
  const all = await navigator.mediaDevices?.enumerateDevices() ?? [];
  // Before a permission, browsers list one device without an id for each kind.
  return all.filter((device) => device.kind === kind && device.deviceId !== '');
}

export interface DeviceChange {
  action: 'added' | 'removed';
  device: MediaDeviceInfo;
}

/** Calls the listener for each device that comes or goes; returns a function that ends it. */
export function watchDevices(listener: (change: DeviceChange) => void): () => void {
  const { mediaDevices } = navigator;
  if (!mediaDevices) return () => {};
  let stopped = false;
  let known = mediaDevices.enumerateDevices();
  const look = () => {
    const before = known;
    known = Promise.all([before, mediaDevices.enumerateDevices()]).then(([old, now]) => {
      if (!stopped) deviceChanges(old, now).forEach(listener);
      return now;
    });
  };
  mediaDevices.addEventListener('devicechange', look);
  return () => {
    stopped = true;
    mediaDevices.removeEventListener('devicechange', look);
  };
}

/** Devices that only get their label, because the page now has the permission, have not changed. Pure. */
export function deviceChanges(before: MediaDeviceInfo[], now: MediaDeviceInfo[]): DeviceChange[] {
  const named = (list: MediaDeviceInfo[]) => list.filter(({ deviceId }) => deviceId !== '');
  const missing = (from: MediaDeviceInfo[], to: MediaDeviceInfo[]) => named(to).filter(({ deviceId, kind }) => (
    !from.some((one) => one.deviceId === deviceId && one.kind === kind)));
  // The first list with ids follows a permission; its devices are not new.
  const isNew = (kind: MediaDeviceKind) => named(before).some((one) => one.kind === kind) || !before.some((one) => one.kind === kind);
  return [
    ...missing(now, before).map((device): DeviceChange => ({ action: 'removed', device })),
    ...missing(before, now).filter(({ kind }) => isNew(kind)).map((device): DeviceChange => ({ action: 'added', device })),
  ];
}

function ideal(value?: number): { ideal: number } | undefined {
  return value === undefined ? undefined : { ideal: value };
}

function defined<Fields extends object>(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Fields;
}
