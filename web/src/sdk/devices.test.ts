import { afterEach, describe, expect, test, vi } from 'vitest';
import { capture, deviceChanges, deviceError, watchDevices, type DeviceChange } from './devices';

const device = (kind: MediaDeviceKind, deviceId: string) => ({ kind, deviceId, label: deviceId, groupId: '' }) as MediaDeviceInfo;
const refused = (name: string, message = '') => new DOMException(message, name);

afterEach(() => vi.unstubAllGlobals());

describe('a device that cannot be opened', () => {
  test.each([
    ['NotAllowedError', 'camera', 'permission_denied'],
    ['SecurityError', 'audio', 'permission_denied'],
    ['NotAllowedError', 'screen', 'screen_not_chosen'],
    ['NotFoundError', 'audio', 'device_not_found'],
    ['NotReadableError', 'camera', 'device_busy'],
    ['OverconstrainedError', 'camera', 'device_unsuitable'],
    ['StrangeError', 'camera', 'device_failed'],
  ] as const)('%s of the %s is %s, with the name of the device or the next step', (name, source, code) => {
    const error = deviceError(refused(name), source);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/camera|microphone|screen/);
  });

  test('a refusal of the operating system is told apart from one of the page', () => {
    expect(deviceError(refused('NotAllowedError', 'Permission denied by system'), 'camera').code).toBe('permission_denied_by_system');
  });

  test('a page without HTTPS says so', async () => {
    vi.stubGlobal('navigator', {});
    await expect(capture('camera')).rejects.toMatchObject({ code: 'insecure_page' });
  });
});

test('only wanted properties are asked of a device, and a missing device gives way to another one', async () => {
  const getUserMedia = vi.fn().mockResolvedValue('stream');
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia } });
  await capture('camera', { deviceId: 'front', height: 720 });
  expect(getUserMedia).toHaveBeenCalledWith({ video: { deviceId: 'front', height: { ideal: 720 } } });
  await capture('audio', { processing: false });
  expect(getUserMedia).toHaveBeenLastCalledWith({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
});

describe('hot plug', () => {
  test('names what came and what went', () => {
    const changes = deviceChanges([device('audioinput', 'a'), device('videoinput', 'v')], [device('audioinput', 'a'), device('audioinput', 'b')]);
    expect(changes.map(({ action, device: { deviceId } }) => [action, deviceId])).toEqual([['removed', 'v'], ['added', 'b']]);
  });

  test('a permission that reveals the devices adds none', () => {
    expect(deviceChanges([device('videoinput', '')], [device('videoinput', 'v')])).toEqual([]);
  });

  test('the listener learns of a device, and of none after it has ended', async () => {
    const mediaDevices = Object.assign(new EventTarget(), { enumerateDevices: vi.fn().mockResolvedValue([device('audioinput', 'a')]) });
    vi.stubGlobal('navigator', { mediaDevices });
    const heard: DeviceChange[] = [];
    const stop = watchDevices((change) => heard.push(change));
    mediaDevices.enumerateDevices.mockResolvedValue([device('audioinput', 'a'), device('audioinput', 'b')]);
    mediaDevices.dispatchEvent(new Event('devicechange'));
    await vi.waitUntil(() => heard.length === 1);
    stop();
    mediaDevices.enumerateDevices.mockResolvedValue([]);
    mediaDevices.dispatchEvent(new Event('devicechange'));
    await Promise.resolve();
    expect(heard).toHaveLength(1);
  });
});
