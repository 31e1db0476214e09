// The public API as the console calls it: POST /v1/<Action>, described by /openapi.json.

/** Below the path of the page, so that a proxy may serve everything below another one. */
const at = (path: string) => new URL(path, location.href).href;

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly action: string, readonly requestId = '') {
    super(message);
  }

  /** Nothing arrived. */
  get isAway(): boolean {
    return this.status === 0;
  }
}

interface Schema { properties?: Record<string, unknown> }
interface Description {
  info: { version: string };
  paths: Record<string, { post: { requestBody: { content: { 'application/json': { schema: Schema } } } } }>;
}

async function json(response: Response, action: string): Promise<Record<string, unknown>> {
  const text = await response.text();
  let body: Record<string, unknown> = {};
  try {
    body = text ? JSON.parse(text) as Record<string, unknown> : {};
  } catch {
    // A proxy in between answers with a page.
  }
  if (response.ok) return body;
  const error = (body.error ?? {}) as { code?: string; message?: string };
  const id = String(body.RequestId ?? response.headers.get('x-request-id') ?? '');
  throw new ApiError(response.status, error.code ?? `HTTP.${response.status}`, error.message ?? response.statusText, action, id);
}

async function send(path: string, init: RequestInit, action: string): Promise<Record<string, unknown>> {
  let response: Response;
  try {
    response = await fetch(at(path), { ...init, credentials: 'same-origin', cache: 'no-store' });
  } catch (error) {
    throw new ApiError(0, 'Network', error instanceof Error ? error.message : String(error), action);
  }
  return json(response, action);
}

const JSON_BODY = { 'content-type': 'application/json', accept: 'application/json' };

/** Sign-in and sign-out: the one part that is not the public API. */
export const door = {
  current: () => send('console/session', {}, 'session'),
  /** The provider by whose page people sign in; none without one. */
  provider: async (): Promise<string | undefined> => {
    const { oidc } = await send('console/sign-in', {}, 'sign-in') as { oidc?: { provider: string } };
    return oidc?.provider;
  },
  signIn: (credentials: { password: string } | { key: string }) =>
    send('console/sign-in', { method: 'POST', headers: JSON_BODY, body: JSON.stringify(credentials) }, 'sign-in'),
  signOut: () => send('console/sign-out', { method: 'POST', headers: JSON_BODY, body: '{}' }, 'sign-out'),
};

export class Api {
  private constructor(private readonly description: Description, readonly application: number, private readonly over: () => void) {}

  /** `over`: the session is over. */
  static async open(application: number, over: () => void): Promise<Api> {
    const description = await send('openapi.json', {}, 'openapi.json');
    return new Api(description as unknown as Description, application, over);
  }

  get version(): string {
    return this.description.info.version;
  }

  has(action: string): boolean {
    return `/v1/${action}` in this.description.paths;
  }

  /** Whether requests of the action have the field. */
  takes(action: string, field: string): boolean {
    const operation = this.description.paths[`/v1/${action}`];
    return field in (operation?.post.requestBody.content['application/json'].schema.properties ?? {});
  }

  async call<T>(action: string, parameters: object = {}): Promise<T> {
    const headers = { ...JSON_BODY, 'x-sdk-app-id': String(this.application) };
    try {
      return await send(`v1/${action}`, { method: 'POST', headers, body: JSON.stringify(parameters) }, action) as T;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.over();
      throw error;
    }
  }
}

/** The room of a request that knows numbers and names apart; `text:` is before a name of digits. */
export function roomOf(room: string): { isNumber: boolean; value: string | number } {
  if (/^\d+$/.test(room)) return { isNumber: true, value: Number(room) };
  return { isNumber: false, value: room.replace(/^text:/, '') };
}

/** The equivalent call on a command line. */
export function curl(action: string, parameters: object, origin = location.href): string {
  const body = JSON.stringify(parameters).replaceAll("'", String.raw`'\''`);
  return `curl -H "authorization: Bearer $SECRET_ID:$API_SECRET" ${new URL(`v1/${action}`, origin).href} -d '${body}'`;
}
