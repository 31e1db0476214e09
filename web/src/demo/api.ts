// The back end of the demo application.

import type { Credentials } from '../sdk/signaling';
import type { Template } from '../sdk/types';

export interface Recording {
  name: string;
  format: string;
  state: string;
  size: number;
  durationMs: number;
  startedUnixMs: number;
  url: string;
}

async function post<Reply>(path: string, body: unknown): Promise<Reply> {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text) as Reply;
  let message = text;
  try {
    message = (JSON.parse(text) as { error: { message: string } }).error.message;
  } catch {
    // Not one of the back end's own errors: only its text is available.
  }
  throw new Error(message);
}

/** Whether the server is in demo mode, in which anybody gets a ticket. */
export async function isDemoMode(): Promise<boolean> {
  return (await fetch('/demo/info')).ok;
}

export async function credentials(userId: string): Promise<Credentials> {
  return { userId, ...await post<{ sdkAppId: number; userSig: string }>('/demo/user-sig', { userId }) };
}

export const startMix = (roomId: number | string, template: Template) => (
  post<{ streamId: string }>('/demo/mix/start', { roomId, template }));
export const stopMix = (roomId: number | string) => post<object>('/demo/mix/stop', { roomId });

export async function recordings(): Promise<Recording[]> {
  const answer = await fetch('/demo/recordings');
  if (!answer.ok) throw new Error('The list of recordings is not available.');
  return await answer.json() as Recording[];
}
