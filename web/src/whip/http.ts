// WHIP and WHEP over HTTP (RFC 9725, draft-ietf-wish-whep): texts and answers. Pure but for `fetch`.

import { RotundaError } from '../sdk/types';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** A resource that an offer has made. */
export interface Resource { url: string; etag: string; answer: string; iceServers: RTCIceServer[] }

/** The body of a refusal begins with its code. */
export async function refusal(response: Response): Promise<RotundaError> {
  const text = (await response.text().catch(() => '')).trim();
  const [, code, message] = /^([a-z_]+): ([\s\S]*)$/.exec(text) ?? [];
  return new RotundaError(code ?? `http_${response.status}`, message ?? (text || `The server answered ${response.status}.`));
}

/** The ICE servers of the `Link` headers (RFC 9725 §4.6). */
export function iceServers(link: string | null): RTCIceServer[] {
  return [...(link ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[a-z-]+\s*=\s*(?:"[^"]*"|[^",;\s]+))*)/gi)].flatMap(([, urls = '', parameters = '']) => {
    const values = new Map([...parameters.matchAll(/([a-z-]+)\s*=\s*(?:"([^"]*)"|([^",;\s]+))/gi)].map(([, name = '', quoted, plain]) => [name.toLowerCase(), quoted ?? plain ?? '']));
    if (values.get('rel') !== 'ice-server' || !/^(stun|turn)s?:/.test(urls)) return [];
    const [username, credential] = [values.get('username'), values.get('credential')];
    return [username === undefined || credential === undefined ? { urls } : { urls, username, credential }];
  });
}

/** Seconds of `Retry-After`, at most half a minute. */
export function retryAfter(response: Response): number {
  const seconds = Number(response.headers.get('retry-after') ?? NaN);
  return Number.isFinite(seconds) ? Math.min(30, Math.max(1, seconds)) : 2;
}

const credentials = (sdp: string) => {
  const [ufrag, pwd] = [/^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1], /^a=ice-pwd:(\S+)/m.exec(sdp)?.[1]];
  return ufrag === undefined || pwd === undefined ? undefined : { ufrag, pwd };
};

/** The fragment that asks for an ICE restart (RFC 9725 §4.3.3); undefined: the offer has no credentials. */
export function restartFragment(offer: string): string | undefined {
  const found = credentials(offer);
  return found && `a=ice-ufrag:${found.ufrag}\r\na=ice-pwd:${found.pwd}\r\n`;
}

/** The first answer with the server's new credentials; undefined: the fragment has none. */
export function restarted(answer: string, fragment: string): string | undefined {
  const found = credentials(fragment);
  return found && answer.replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${found.ufrag}`).replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${found.pwd}`);
}

export class Endpoint {
  constructor(private readonly url: string, private readonly token: string, private readonly send: Fetch) {}

  /** TURN servers are told before the offer: candidates of theirs are in it. None where the server does not tell. */
  async servers(): Promise<RTCIceServer[]> {
    try {
      return iceServers((await this.ask(this.url, 'OPTIONS')).headers.get('link'));
    } catch {
      return [];
    }
  }

  /** The raw answer, so that the caller may wait and try again. */
  offer(sdp: string, signal?: AbortSignal): Promise<Response> {
    return this.ask(this.url, 'POST', { 'content-type': 'application/sdp' }, sdp, signal);
  }

  async resource(response: Response): Promise<Resource> {
    const location = response.headers.get('location');
    if (location === null) throw new RotundaError('bad_answer', 'The server has named no session.');
    return {
      url: new URL(location, response.url || this.url).href, etag: response.headers.get('etag') ?? '', answer: await response.text(),
      iceServers: iceServers(response.headers.get('link')),
    };
  }

  patch(resource: Resource, fragment: string): Promise<Response> {
    return this.ask(resource.url, 'PATCH', { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' }, fragment);
  }

  async delete(resource: Resource): Promise<void> {
    // Also while the page is closed.
    await this.send(resource.url, { method: 'DELETE', headers: { authorization: `Bearer ${this.token}` }, keepalive: true });
  }

  private async ask(url: string, method: string, headers: Record<string, string> = {}, body?: string, signal?: AbortSignal): Promise<Response> {
    try {
      return await this.send(url, { method, headers: { authorization: `Bearer ${this.token}`, ...headers }, ...body === undefined ? {} : { body }, ...signal ? { signal } : {} });
    } catch (error) {
      if (signal?.aborted) throw new RotundaError('aborted', 'It was ended before it began.');
      throw new RotundaError('unreachable', `The server does not answer: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
