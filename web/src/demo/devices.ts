// Cameras and microphones.

export interface Choice {
  camera?: string;
  microphone?: string;
  /** Echo cancellation, noise suppression and gain control; off in tests that measure audio. */
  processing: boolean;
}

/** Camera and microphone together, or those that exist. */
export async function open({ camera, microphone, processing }: Choice): Promise<MediaStream> {
  const audio = {
    deviceId: microphone,
    echoCancellation: processing,
    noiseSuppression: processing,
    autoGainControl: processing,
  };
  const video = { deviceId: camera, width: { ideal: 1280 }, height: { ideal: 720 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video });
  } catch {
    try {
      return await navigator.mediaDevices.getUserMedia({ audio });
    } catch {
      return new MediaStream();
    }
  }
}

export async function list(select: HTMLSelectElement, kind: MediaDeviceKind): Promise<void> {
  const devices = (await navigator.mediaDevices?.enumerateDevices() ?? []).filter((device) => device.kind === kind);
  select.replaceChildren(...devices.map(({ deviceId, label }, index) => new Option(label || `Device ${index + 1}`, deviceId)));
  select.disabled = devices.length === 0;
}
