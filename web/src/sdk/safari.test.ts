// Safari's behaviour by fakes; docs/sdk.md lists its limits. Safari itself is not available to the tests.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { capture, deviceError } from './devices';
import { LocalMedia, type Publishing } from './local_media';
import { Voices, attach, type Blocked } from './playback';
import type { Remote } from './room';
import { Session } from './session';

afterEach(() => vi.unstubAllGlobals());

describe('the layers of the camera', () => {
  /** What the fake browser can do. */
  let codecs: string[];
  let refusesModes: boolean;
  let namesLayers: boolean;
  let camera: Sender;

  class Sender {
    track: MediaStreamTrack | null = null;
    set: RTCRtpEncodingParameters[] = [];

    constructor(private readonly encodings: RTCRtpEncodingParameters[]) {}

    replaceTrack(track: MediaStreamTrack | null): Promise<void> {
      this.track = track;
      return Promise.resolve();
    }

    getParameters = () => ({ encodings: this.encodings.map(({ rid, ...fields }) => (namesLayers ? { rid, ...fields } : fields)) });

    setParameters({ encodings }: { encodings: RTCRtpEncodingParameters[] }): Promise<void> {
      if (hasMode(encodings)) return Promise.reject(new DOMException('', 'OperationError'));
      this.set = encodings;
      return Promise.resolve();
    }
  }

  const hasMode = (encodings: RTCRtpEncodingParameters[] = []) => (
    refusesModes && encodings.some((one) => (one as { scalabilityMode?: string }).scalabilityMode !== undefined));

  class Connection extends EventTarget {
    preferred: string[] = [];

    addTransceiver(_kind: string, { sendEncodings }: RTCRtpTransceiverInit = {}) {
      if (hasMode(sendEncodings)) throw new DOMException('', 'OperationError');
      const sender = new Sender(sendEncodings ?? []);
      if (sendEncodings) camera = sender;
      const setCodecPreferences = (wanted: { mimeType: string }[]) => {
        // As the specification says: there must be a codec of media.
        if (!wanted.some(({ mimeType }) => !mimeType.endsWith('rtx'))) throw new DOMException('', 'InvalidModificationError');
        this.preferred = wanted.map(({ mimeType }) => mimeType);
      };
      return { sender, receiver: { track: {} }, setCodecPreferences };
    }

    createDataChannel = () => ({});
  }

  const track = { getSettings: () => ({ width: 1280, height: 720 }) } as MediaStreamTrack;
  const session = (codec?: 'vp8' | 'vp9' | 'av1') => new Session([], codec);

  beforeEach(() => {
    [codecs, refusesModes, namesLayers] = [['video/H264', 'video/VP8', 'video/VP9', 'video/rtx'], false, true];
    const getCapabilities = () => ({ codecs: codecs.map((mimeType) => ({ mimeType })) });
    vi.stubGlobal('RTCPeerConnection', Connection);
    vi.stubGlobal('RTCRtpSender', { getCapabilities });
    vi.stubGlobal('RTCRtpReceiver', { getCapabilities });
  });

  test('a codec that the browser does not send gives way to its own choice, in three layers', () => {
    const made = session('av1');
    expect((made.connection as unknown as Connection).preferred).toEqual([]);
    expect(camera.getParameters().encodings.map((one) => (one as RTCRtpEncodingParameters).rid)).toEqual(['q', 'h', 'f']);
  });

  test('with encryption such a codec is refused in words', () => {
    codecs = ['video/H264', 'video/rtx'];
    const transform = { codecs: ['vp8'] as ['vp8'], onSend: () => {}, onReceive: () => {} };
    expect(() => new Session([], undefined, false, transform)).toThrow('This browser cannot send vp8');
  });

  test('a browser without layers in one stream sends one layer of VP9', async () => {
    refusesModes = true;
    const made = session('vp9');
    await made.sendCamera(track);
    expect(camera.set).toMatchObject([{ scaleResolutionDownBy: 1, scalabilityMode: undefined }]);
    await made.setLargestLayer('camera', 360);
    expect(camera.set).toMatchObject([{ scaleResolutionDownBy: 2 }]);
  });

  test('a browser that refuses temporal layers after loss goes on without them', async () => {
    const made = session();
    await made.sendCamera(track);
    refusesModes = true;
    await made.handleLoss(20);
    expect(camera.set.map(({ active }) => active)).toEqual([true, true, true]);
  });

  test('layers without a name are known by their order', async () => {
    namesLayers = false;
    const made = session();
    await made.sendCamera(track);
    await made.setLayers('camera', ['q']);
    expect(camera.set.map(({ active, scaleResolutionDownBy }) => [active, scaleResolutionDownBy])).toEqual([[true, 4], [false, 2], [false, 1]]);
  });
});

describe('devices', () => {
  class Track extends EventTarget {
    enabled = true;
    muted = false;
    readyState = 'live';
    readonly kind = 'video';

    stop(): void {
      this.readyState = 'ended';
    }
  }

  let opened: Track[];
  let hasBackCamera: boolean;
  let displays: number;

  beforeEach(() => {
    [opened, hasBackCamera, displays] = [[], true, 0];
    const open = ({ video }: MediaStreamConstraints = {}) => {
      // One capture of a kind at a time: the earlier one is muted before the new one is there.
      for (const track of opened.filter(({ readyState, muted }) => readyState === 'live' && !muted)) {
        track.muted = true;
        track.dispatchEvent(new Event('mute'));
      }
      if (!hasBackCamera && (video as MediaTrackConstraints).deviceId === 'back') return Promise.reject(new DOMException('', 'OverconstrainedError'));
      const track = new Track();
      opened.push(track);
      return Promise.resolve({ getTracks: () => [track] });
    };
    const getDisplayMedia = () => {
      displays += 1;
      return open();
    };
    vi.stubGlobal('navigator', { mediaDevices: Object.assign(new EventTarget(), { enumerateDevices: () => Promise.resolve([]), getUserMedia: open, getDisplayMedia }) });
    vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
  });

  const room: Publishing = {
    publish: () => Promise.resolve(), unpublish: () => Promise.resolve(), mute: () => Promise.resolve(), isPublishing: () => true,
  };
  const eventsOf = (media: LocalMedia) => {
    const events: string[] = [];
    for (const name of ['interrupted', 'restored', 'lost'] as const) media.on(name, () => events.push(name));
    return events;
  };

  test('another camera takes the place of the present one without an interruption', async () => {
    const media = new LocalMedia(room);
    const events = eventsOf(media);
    await media.start('camera');
    await media.change('camera', { deviceId: 'back' });
    expect([events, opened[0]?.readyState, media.track('camera') === opened[1] as unknown]).toEqual([[], 'ended', true]);
    media.close();
  });

  test('the present camera is got back when another one cannot be opened', async () => {
    const media = new LocalMedia(room);
    const events = eventsOf(media);
    await media.start('camera');
    hasBackCamera = false;
    await expect(media.change('camera', { deviceId: 'back' })).rejects.toMatchObject({ code: 'device_unsuitable' });
    await vi.waitUntil(() => events.length === 2);
    expect([events, opened[0]?.readyState, media.track('camera') === opened[1] as unknown]).toEqual([['interrupted', 'restored'], 'ended', true]);
    media.close();
  });

  test('a screen is asked for within the tap', () => {
    const media = new LocalMedia(room);
    void media.start('screen', { systemAudio: true });
    expect(displays).toBe(1);
    media.close();
  });

  test('a screen without a tap, and a browser without screens, say so', async () => {
    for (const name of ['InvalidStateError', 'InvalidAccessError']) {
      expect(deviceError(new DOMException('getDisplayMedia must be called from a user gesture handler.', name), 'screen').code).toBe('gesture_required');
    }
    vi.stubGlobal('navigator', { mediaDevices: {} });
    await expect(capture('screen')).rejects.toMatchObject({ code: 'screen_not_supported' });
  });
});

describe('playback', () => {
  /** Whether the page may play now. */
  let mayPlay: boolean;
  let elements: Audio[];
  const page = new EventTarget();
  let visible: { visibilityState: string } & EventTarget;

  class Audio {
    srcObject: unknown = null;
    paused = true;
    volume = 1;
    dataset = {};
    remove = () => {};

    play(): Promise<void> {
      if (!mayPlay) return Promise.reject(new DOMException('', 'NotAllowedError'));
      this.paused = false;
      return Promise.resolve();
    }
  }

  beforeEach(() => {
    [mayPlay, elements] = [true, []];
    const createElement = () => {
      const element = new Audio();
      elements.push(element);
      return element;
    };
    visible = Object.assign(new EventTarget(), { visibilityState: 'visible', createElement, body: { append: () => {} } });
    vi.stubGlobal('document', visible);
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page));
    vi.stubGlobal('MediaStream', class { constructor(private readonly tracks: unknown[]) {} getTracks = () => this.tracks; });
    vi.stubGlobal('HTMLMediaElement', Audio);
  });

  const track = {} as MediaStreamTrack;
  const room = (source: Remote['source']) => ({ on: () => () => {}, remotes: [{ userId: 'bob', source, track }], limitHeight: () => Promise.resolve() });
  const show = () => {
    visible.visibilityState = 'visible';
    visible.dispatchEvent(new Event('visibilitychange'));
  };

  test('a browser that chooses the speaker itself says so, and plays on', async () => {
    const voices = new Voices(room('audio'));
    await expect(voices.setOutput('headset')).rejects.toMatchObject({ code: 'output_not_supported' });
    const remotes = [{ userId: 'bob', source: 'audio', track }, { userId: 'cat', source: 'audio', track }];
    const later = new Voices({ ...room('audio'), remotes } as never);
    expect(elements).toHaveLength(3);
    for (const one of [voices, later]) one.close();
  });

  test('what was paused in the background goes on when the page is visible again', async () => {
    const voices = new Voices(room('audio'));
    const video = new Audio();
    const stop = attach(room('camera'), { userId: 'bob', source: 'camera' }, video as unknown as HTMLVideoElement, { adapt: false });
    await vi.waitUntil(() => !elements[0]?.paused && !video.paused);
    for (const element of [elements[0], video]) if (element) element.paused = true;
    visible.visibilityState = 'hidden';
    visible.dispatchEvent(new Event('visibilitychange'));
    expect(video.paused).toBe(true);
    show();
    await vi.waitUntil(() => !elements[0]?.paused && !video.paused);
    video.paused = true;
    stop();
    show();
    expect(video.paused).toBe(true);
    voices.close();
  });

  test('a tap that the browser does not accept is no last chance', async () => {
    mayPlay = false;
    const voices = new Voices(room('audio'));
    const blocked = await new Promise<Blocked>((resolve) => { voices.on('blocked', resolve); });
    await expect(blocked.resume()).rejects.toThrow();
    page.dispatchEvent(new Event('pointerup'));
    mayPlay = true;
    page.dispatchEvent(new Event('click'));
    await vi.waitUntil(() => !elements[0]?.paused);
    voices.close();
  });
});
