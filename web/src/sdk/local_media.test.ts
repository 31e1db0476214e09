import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LocalMedia, type Lost, type Publishing } from './local_media';
import type { ScreenSound } from './screen_sound';
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
let asked: MediaStreamConstraints[];
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
  asked = [];
  refusal = undefined;
  page.visibilityState = 'visible';
  mediaDevices = Object.assign(new EventTarget(), {
    enumerateDevices: () => Promise.resolve<MediaDeviceInfo[]>([]),
    getUserMedia: (constraints: MediaStreamConstraints) => {
      asked.push(constraints);
      return open(constraints.audio ? 'audio' : 'video');
    },
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

  test('has the size and frame rate of the application\'s profile, unless the page asks for others', async () => {
    const media = new LocalMedia({ ...room(), profile: { width: 960, height: 540, framerate: 15 } });
    await media.start('camera', { height: 720 });
    expect(asked).toEqual([{ video: { width: { ideal: 960 }, height: { ideal: 720 }, frameRate: { ideal: 15 } } }]);
    media.close();
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

describe('the audio of a shared screen', () => {
  class FakeSound {
    track = new Track('audio');
    microphone?: Track;
    closed = false;

    setMicrophone(track?: Track): void {
      this.microphone = track;
    }

    close(): void {
      this.closed = true;
    }
  }

  function share(refuse?: RotundaError) {
    const sent = room();
    const sound = new FakeSound();
    const media = new LocalMedia(sent, () => sound as unknown as ScreenSound);
    mediaDevices = Object.assign(mediaDevices, {
      getDisplayMedia: () => Promise.resolve({ getTracks: () => [new Track('video'), new Track('audio')] }),
    });
    if (refuse) {
      const { publish } = sent;
      sent.publish = (source, track) => (source === 'audio' ? Promise.reject(refuse) : publish(source, track));
    }
    return { sent, sound, media };
  }

  test('is sent with the microphone as one track, and the microphone alone afterwards', async () => {
    const { sent, sound, media } = share();
    await media.start('audio');
    const [microphone] = opened;
    await media.start('screen', { systemAudio: true });
    expect([sent.sends.get('audio'), sound.microphone, media.sharesSound]).toEqual([sound.track, microphone, true]);
    await media.stop('screen');
    expect([sent.sends.get('audio'), sound.closed, media.sharesSound]).toEqual([microphone, true, false]);
  });

  test('goes on while the microphone is muted, and the muted microphone is muted for all afterwards', async () => {
    const { sent, media } = share();
    await media.start('audio');
    const [microphone] = opened;
    await media.start('screen', { systemAudio: true });
    await media.mute('audio', true);
    expect([sent.muted.get('audio'), microphone?.enabled, media.isMuted('audio')]).toEqual([undefined, false, true]);
    await media.stop('screen');
    expect(sent.muted.get('audio')).toBe(true);
  });

  test('is heard also of a member who was muted, and needs no microphone', async () => {
    const { sent, media } = share();
    await media.start('audio');
    await media.mute('audio', true);
    await media.start('screen', { systemAudio: true });
    expect(sent.muted.get('audio')).toBe(false);
    await media.stop('screen');
    await media.stop('audio');
    await media.start('screen', { systemAudio: true });
    expect(sent.isPublishing('audio')).toBe(true);
    await media.stop('screen');
    expect(sent.isPublishing('audio')).toBe(false);
  });

  test('follows another microphone', async () => {
    const { sent, sound, media } = share();
    await media.start('audio');
    await media.start('screen', { systemAudio: true });
    await media.change('audio', { deviceId: 'other' });
    expect([sent.sends.get('audio'), sound.microphone]).toEqual([sound.track, opened.at(-1)]);
  });

  test('that is refused leaves the screen shared, and is told', async () => {
    const { sent, sound, media } = share(new RotundaError('too_many_audio_publishers', 'All seats are taken.'));
    const told: string[] = [];
    media.on('soundless', ({ error }) => told.push(error.code));
    await media.start('screen', { systemAudio: true });
    expect([told, sent.isPublishing('screen'), sound.closed, media.sharesSound]).toEqual([['too_many_audio_publishers'], true, true, false]);
  });
});

describe('a processor', () => {
  const processor = () => {
    const made: { from: unknown; track: Track; stopped: boolean }[] = [];
    const process = (from: MediaStreamTrack) => {
      const one = { from, track: new Track(from.kind), stopped: false };
      made.push(one);
      return { track: one.track as unknown as MediaStreamTrack, stop: () => { one.stopped = true; } };
    };
    return { made, process };
  };

  test('gets the device, and what it makes is sent and shown', async () => {
    const sent = room();
    const media = new LocalMedia(sent);
    const { made, process } = processor();
    await media.process('camera', process);
    await media.start('camera');
    expect([made[0]?.from, sent.sends.get('camera'), media.track('camera')]).toEqual([opened[0], made[0]?.track, made[0]?.track]);
    await media.stop('camera');
    expect([made[0]?.stopped, opened[0]?.readyState]).toEqual([true, 'ended']);
  });

  test('holds for another device and for one that comes back, and is taken off again', async () => {
    const sent = room();
    const media = new LocalMedia(sent);
    const { made, process } = processor();
    await media.start('audio');
    await media.process('audio', process);
    expect([sent.sends.get('audio'), opened.length, opened[0]?.readyState]).toEqual([made[0]?.track, 1, 'live']);
    await media.change('audio', { deviceId: 'other' });
    expect([sent.sends.get('audio'), made[1]?.from, made[0]?.stopped]).toEqual([made[1]?.track, opened[1], true]);
    const back = next(media, 'restored');
    opened[1]?.end();
    await back;
    expect(sent.sends.get('audio')).toBe(made[2]?.track);
    await media.process('audio');
    expect([sent.sends.get('audio'), made[2]?.stopped]).toEqual([opened[2], true]);
  });

  test('mutes what it makes', async () => {
    const media = new LocalMedia(room());
    const { made, process } = processor();
    await media.start('audio');
    await media.mute('audio', true);
    await media.process('audio', process);
    expect([made[0]?.track.enabled, media.isMuted('audio')]).toEqual([false, true]);
  });

  test('that fails is named, and the device is sent as before', async () => {
    const sent = room();
    const media = new LocalMedia(sent);
    await media.start('camera');
    await expect(media.process('camera', () => Promise.reject(new Error('no WebGL')))).rejects.toMatchObject({ code: 'processor_failed', message: expect.stringContaining('no WebGL') as string });
    expect([sent.sends.get('camera'), opened[0]?.readyState]).toEqual([opened[0], 'live']);
    await media.change('camera', {});
    expect(sent.sends.get('camera')).toBe(opened[1]);
  });
});
