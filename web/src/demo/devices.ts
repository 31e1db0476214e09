// The lobby's devices: preview, choice, microphone level, speaker test.

import { capture, listDevices, watchDevices, type CaptureOptions } from '../sdk/devices';
import { errorText, t } from './i18n';
import { find } from './find';

export class Devices {
  readonly cameras = find('#cameras', HTMLSelectElement);
  readonly microphones = find('#microphones', HTMLSelectElement);
  audio?: MediaStream;
  video?: MediaStream;
  private readonly preview = find('#preview', HTMLVideoElement);
  private readonly stopListening: (() => void)[] = [];

  /** `processing`: echo cancellation, noise suppression and gain control; off in tests that measure audio. */
  constructor(private readonly processing: boolean) {
    this.cameras.onchange = () => void this.openCamera();
    this.microphones.onchange = () => void this.openMicrophone();
    find('#test-speaker', HTMLButtonElement).onclick = () => void testSpeaker();
  }

  get cameraOptions(): CaptureOptions {
    return { deviceId: this.cameras.value || undefined, width: 1280, height: 720 };
  }

  get microphoneOptions(): CaptureOptions {
    return { deviceId: this.microphones.value || undefined, processing: this.processing };
  }

  /** Opens what there is; a device that is missing is named in words. */
  async open(): Promise<void> {
    await this.openCamera();
    await this.openMicrophone();
    await this.list();
    this.stopListening.push(watchDevices(() => void this.list()));
  }

  /** The lobby ends; the streams go on in the room. */
  leave(): void {
    for (const stop of this.stopListening.splice(0)) stop();
    this.preview.srcObject = null;
  }

  /** A member of the audience needs no device. */
  close(): void {
    this.leave();
    for (const track of [...this.audio?.getTracks() ?? [], ...this.video?.getTracks() ?? []]) track.stop();
    this.audio = undefined;
    this.video = undefined;
  }

  private async openCamera(): Promise<void> {
    this.video?.getTracks().forEach((track) => track.stop());
    this.video = await this.capture('camera', this.cameraOptions);
    this.preview.srcObject = this.video ?? null;
    find('#no-camera', HTMLElement).hidden = this.video !== undefined;
  }

  private async openMicrophone(): Promise<void> {
    this.audio?.getTracks().forEach((track) => track.stop());
    this.audio = await this.capture('audio', this.microphoneOptions);
    if (this.audio) this.stopListening.push(showLevel(this.audio));
  }

  private async capture(source: 'camera' | 'audio', options: CaptureOptions): Promise<MediaStream | undefined> {
    const message = find('#device-message', HTMLElement);
    try {
      const stream = await capture(source, options);
      message.textContent = '';
      // Some browsers give a stream without a track.
      return stream.getTracks().length > 0 ? stream : undefined;
    } catch (error) {
      message.textContent = errorText(error);
      return undefined;
    }
  }

  private async list(): Promise<void> {
    for (const [select, kind] of [[this.cameras, 'videoinput'], [this.microphones, 'audioinput']] as const) {
      const devices = await listDevices(kind);
      const chosen = select.value;
      select.replaceChildren(...devices.map(({ deviceId, label }, index) => new Option(label || t('device', index + 1), deviceId)));
      if (devices.length === 0) select.append(new Option(t('noDevice'), ''));
      if (devices.some(({ deviceId }) => deviceId === chosen)) select.value = chosen;
      select.disabled = devices.length === 0;
    }
  }
}

/** Shows the level of the microphone until the returned function is called. */
function showLevel(stream: MediaStream): () => void {
  const meter = find('#level', HTMLMeterElement);
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    meter.value = Math.round(100 * Math.min(1, Math.sqrt(Math.sqrt(power))));
  }, 100);
  return () => {
    clearInterval(timer);
    void context.close();
  };
}

/** Two notes. */
async function testSpeaker(): Promise<void> {
  const context = new AudioContext();
  const gain = context.createGain();
  gain.gain.value = 0.2;
  gain.connect(context.destination);
  const notes = [523, 659].map((hertz, index) => {
    const note = context.createOscillator();
    note.frequency.value = hertz;
    note.connect(gain);
    note.start(context.currentTime + index * 0.4);
    note.stop(context.currentTime + index * 0.4 + 0.35);
    return note;
  });
  await new Promise((resolve) => { notes.at(-1)!.onended = resolve; });
  await context.close();
}
