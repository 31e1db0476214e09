// Your backend signs the tickets of your users (docs/api.md). A server in demo mode gives one to anybody.

import type { Credentials } from '@rotunda/sdk';

export async function ticketOf(userId: string): Promise<Credentials> {
  const answer = await fetch('/demo/user-sig', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ userId }),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return { userId, ...await answer.json() as { sdkAppId: number; userSig: string } };
}
