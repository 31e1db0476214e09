// The cameras that this browser has stored, and which of them are online.

import { Signaling, type Credentials } from '../sdk/signaling';
import type { RoomView } from '../sdk/types';

const KEY = 'rotunda-cameras';

export function known(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((name): name is string => typeof name === 'string') : [];
  } catch {
    return [];
  }
}

export function remember(device: string): void {
  localStorage.setItem(KEY, JSON.stringify([...new Set([...known(), device])]));
}

export function forget(device: string): void {
  localStorage.setItem(KEY, JSON.stringify(known().filter((name) => name !== device)));
}

/** Checks each camera's room, one after the other; `tell` gets each result. */
export async function look(url: string, credentials: Credentials, devices: string[], tell: (device: string, isOnline: boolean) => void): Promise<void> {
  const signaling = new Signaling(url, credentials);
  try {
    await signaling.connect();
    for (const device of devices) {
      // If the room refuses, this user has no access to the camera.
      const reply = await signaling.request('enterRoom', { roomId: `iv:${device}`, role: 'audience' }).catch(() => undefined);
      tell(device, (reply?.['room'] as RoomView | undefined)?.members.includes(device) ?? false);
      if (reply) await signaling.request('exitRoom');
    }
  } finally {
    signaling.close();
  }
}
