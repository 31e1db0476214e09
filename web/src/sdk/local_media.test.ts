import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LocalMedia, type Lost, type Publishing } from './local_media';
import { RotundaError, type Source } from './types';

class Track extends EventTarget {
  enabled = true;
  muted = false;
  readyState = 'live';

  constructor(readonly kind: string) {
    super();
  }

  stop(): void {
    this.readyState = 'ended';
  }

  /** As a browser does when the system takes the device away. */
  end(): void {
    this.stop();
    this.dispatchEvent(new Event('ended'));
  }

  mute(muted: boolean): void {
    this.muted = muted;
    this.dispatchEvent(new Event(muted ? 'mute' : 'unmute'));
  }
}

let opened: Track[];
let refusal: DOMException | undefined;
let mediaDevices: EventTarget & { enumerateDevices: () => Promise<MediaDeviceInfo[]> };
const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });

const open = (kind: string) => {
  if (refusal) return Promise.reject(refusal);
  const track = new Track(kind);
  opened.push(track);
  return Promise.resolve({ getTracks: () => [track] });
};

function room(refuse?: RotundaError) {
  const sends = new Map<Source, Track>();
  const fake = {
    sends,
    muted: new Map<Source, boolean>(),
    publish: (source: Source, track: MediaStreamTrack) => {
      if (refuse) return Promise.reject(refuse);
      sends.set(source, track as unknown as Track);
      return Promise.resolve();
    },
    unpublish: (source: Source) => { sends.delete(source); return Promise.resolve(); },
    mute: (source: Source, muted: boolean) => { fake.muted.set(source, muted); return Promise.resolve(); },
    isPublishing: (source: Source) => sends.has(source),
  };
  return fake satisfies Publishing;
}

beforeEach(() => {
  opened = [];
  refusal = undefined;
  page.visibilityState = 'visible';
  mediaDevices = Object.assign(new EventTarget(), {
    enumerateDevices: () => Promise.resolve<MediaDeviceInfo[]>([]),
    getUserMedia: ({ audio }: MediaStreamConstraints) => open(audio ? 'audio' : 'video'),
    getDisplayMedia: () => open('video'),
  });
  vi.stubGlobal('navigator', { mediaDevices });
  vi.stubGlobal('document', page);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const next = <Name extends 'restored' | 'lost' | 'ended' | 'interrupted'>(media: LocalMedia, name: Name) => (
  new Promise<{ source: Source }>((resolve) => { media.on(name, resolve); }));

describe('a published device', () => {
  test('is opened and sent, and stopped again', async () => {
    const fake = room();
    const media = new LocalMedia(fake);
    await media.start('camera', { height: 720 });
    expect(fake.sends.get('camera')).toBe(opened[0]);
    await media.stop('camera');
    expect(fake.sends.has('camera')).toBe(false);
    expect(opened[0]?.readyState).toBe('ended');
  });

  test('is closed again when the server has no seat for it', async () => {
    const media = new LocalMedia(room(new RotundaError('too_many_video_publishers', 'full')));
    await expect(media.start('camera')).rejects.toMatchObject({ code: 'too_many_video_publishers' });
    expect(opened[0]?.readyState).toBe('ended');
    expect(media.track('camera')).toBeUndefined();
  });

  test('that the system has ended is opened again and goes on in the same publication', async () => {
    const fake = room();
    const media = new LocalMedia(fake);
    await media.start('audio');
    const restored = next(media, 'restored');
    opened[0]?.end();
    expect((await restored).source).toBe('audio');
    expect(fake.sends.get('audio')).toBe(opened[1]);
  });

  test('stays muted when it comes back', async () => {
    const media = new LocalMedia(room());
    await media.start('audio');
    await media.mute('audio', true);
    const restored = next(media, 'restored');
    opened[0]?.end();
    await restored;
    expect(opened[1]?.enabled).toBe(false);
    expect(media.isMuted('audio')).toBe(true);
  });

  test('that cannot be opened again waits for a tap', async () => {
    const fake = room();
    const media = new LocalMedia(fake);
    await media.start('camera');
    refusal = new DOMException('', 'NotAllowedError');
    const lost = next(media, 'lost') as Promise<Lost>;
    opened[0]?.end();
    const { error, retry } = await lost;
    expect(error.code).toBe('permission_denied');
    await expect(retry()).rejects.toMatchObject({ code: 'permission_denied' });
    refusal = undefined;
    await retry();
    expect(fake.sends.get('camera')).toBe(opened[1]);
  });

  test('that was unplugged comes back as soon as a device of its kind is plugged in', async () => {
    const fake = room();
    const media = new LocalMedia(fake);
    await media.start('audio');
    refusal = new DOMException('', 'NotFoundError');
    const lost = next(media, 'lost');
    opened[0]?.end();
    await lost;
    refusal = undefined;
    const restored = next(media, 'restored');
    mediaDevices.enumerateDevices = () => Promise.resolve([{ kind: 'audioinput', deviceId: 'new' } as MediaDeviceInfo]);
    mediaDevices.dispatchEvent(new Event('devicechange'));
    await restored;
    expect(fake.sends.get('audio')).toBe(opened[1]);
  });

  test('that the system mutes for a moment only goes on', async () => {
    vi.useFakeTimers();
    const media = new LocalMedia(room());
    await media.start('audio');
    const interrupted = next(media, 'interrupted');
    const restored = next(media, 'restored');
    opened[0]?.mute(true);
    await interrupted;
    opened[0]?.mute(false);
    await restored;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(opened).toHaveLength(1);
  });

  test('that stays muted is opened again, in a hidden page as soon as it is visible', async () => {
    vi.useFakeTimers();
    const media = new LocalMedia(room());
    await media.start('audio');
    opened[0]?.mute(true);
    await vi.advanceTimersByTimeAsync(3000);
    expect(opened).toHaveLength(2);
    page.visibilityState = 'hidden';
    opened[1]?.mute(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(opened).toHaveLength(2);
    page.visibilityState = 'visible';
    page.dispatchEvent(new Event('visibilitychange'));
    await vi.advanceTimersByTimeAsync(0);
    expect(opened).toHaveLength(3);
  });
});

test('a screen that the person stops by the browser is unpublished and not opened again', async () => {
  const fake = room();
  const media = new LocalMedia(fake);
  await media.start('screen');
  const ended = next(media, 'ended');
  opened[0]?.end();
  await ended;
  expect(fake.sends.has('screen')).toBe(false);
  expect(opened).toHaveLength(1);
});

test("an application's own track is sent, and not stopped", async () => {
  const fake = room();
  const media = new LocalMedia(fake);
  const own = new Track('video');
  await media.adopt('camera', own as unknown as MediaStreamTrack);
  expect(fake.sends.get('camera')).toBe(own);
  await media.stop('camera');
  expect(own.readyState).toBe('live');
});
