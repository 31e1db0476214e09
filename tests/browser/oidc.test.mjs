// Sign-in by an OpenID provider that nobody here wrote (`oidc-provider`, certified): people sign in to the console by its page, and a member
// of a room brings its ID token in place of a UserSig.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Provider } from 'oidc-provider';
import { cannotRun, freePort, startBrowser, startServer } from './support.mjs';

const APP = 1400000011;
const PEOPLE = {
  ann: { email: 'ann@example.com', email_verified: true, groups: ['operators'] },
  bob: { email: 'bob@example.com', email_verified: true, groups: ['support', 'other'] },
  cat: { email: 'operators', email_verified: false, groups: [] },
};

/** The provider, with the console and an application of members as its clients. */
async function startProvider(console, members) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [
      { client_id: 'rotunda', client_secret: 'hush-hush-hush', redirect_uris: [console] },
      { client_id: 'app', token_endpoint_auth_method: 'none', redirect_uris: [members], application_type: 'native' },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'email', 'groups'],
    findAccount: (_context, sub) => PEOPLE[sub] && { accountId: sub, claims: () => ({ sub, ...PEOPLE[sub] }) },
    cookies: { keys: ['a key of this test'] },
  });
  const server = createServer(provider.callback()).listen(port, '127.0.0.1');
  return { issuer, stop: () => server.close() };
}

/** Signs in at the provider's own pages. */
async function signInAs(page, name) {
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  const consent = page.getByRole('button', { name: 'Continue' });
  await consent.waitFor();
  await consent.click();
}

describe('sign-in by an OpenID provider', { skip: cannotRun() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rotunda-oidc-'));
  let provider;
  let server;
  let browser;
  let members;

  before(async () => {
    const port = await freePort();
    const callbacks = await freePort();
    members = `http://127.0.0.1:${callbacks}/cb`;
    provider = await startProvider(`http://localhost:${port}/console/oidc/callback`, members);
    const config = join(folder, 'rotunda.toml');
    writeFileSync(config, [
      '[server]', `public_url = "http://localhost:${port}"`, 'outbound_networks = ["127.0.0.0/8"]',
      '[console]', `oidc_issuer = "${provider.issuer}"`, 'oidc_client_id = "rotunda"', 'oidc_client_secret = "hush-hush-hush"',
      'oidc_scopes = ["email", "groups"]',
      'oidc_access = [{ claim = "groups", value = "operators" }, { claim = "groups", value = "support", scopes = ["rooms"] }, { claim = "email", value = "operators" }]',
      '[[applications]]', `sdk_app_id = ${APP}`, 'secret_key = "key"', 'secret_id = "AKID"', 'api_secret = "secret"',
      `oidc_issuer = "${provider.issuer}"`, 'oidc_client_id = "app"', '',
    ].join('\n'));
    server = await startServer({ ROTUNDA_CONFIG: config, ROTUNDA__SERVER__PORT: String(port) });
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    provider?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Signs in to the console in a browser of their own. */
  const console = async (name) => {
    const context = await browser.newContext({ locale: 'en-GB' });
    const page = await context.newPage();
    await page.goto(`${server.url}/console`);
    await page.getByRole('link', { name: 'Sign in with 127.0.0.1' }).click();
    await signInAs(page, name);
    await page.waitForURL((url) => url.pathname === '/console');
    const session = async () => (await page.request.get(`${server.url}/console/session`)).json();
    return { context, page, session };
  };

  test('an operator by the claim of a group has every screen, until they sign out', async () => {
    const { context, page, session } = await console('ann');
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    const { user, scopes } = await session();
    assert.equal(user, 'ann@example.com');
    assert.ok(scopes.includes('admin') && scopes.includes('mix'), String(scopes));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in with 127.0.0.1' }).waitFor();
    assert.equal((await page.request.get(`${server.url}/console/session`)).status(), 401);
    await context.close();
  });

  test('a rule with scopes opens these alone', async () => {
    const { context, page, session } = await console('bob');
    await page.locator('nav').first().waitFor();
    assert.deepEqual((await session()).scopes, ['rooms']);
    const ask = async (action) => {
      const headers = { 'x-sdk-app-id': String(APP), 'content-type': 'application/json' };
      return (await page.request.post(`${server.url}/v1/${action}`, { headers, data: {} })).status();
    };
    assert.equal(await ask('ListRooms'), 200);
    assert.equal(await ask('ListApiKeys'), 403);
    await context.close();
  });

  test('a person without a rule, or with an email that nobody has verified, is told so', async () => {
    const { context, page, session } = await console('cat');
    await page.getByText('You have no access to this console').waitFor();
    assert.equal((await session()).error.code, 'AuthFailure.InvalidAuthorization');
    await context.close();
  });

  test('an answer that this browser has not asked for is refused', async () => {
    const answer = await fetch(`${server.url}/console/oidc/callback?code=stolen&state=x`, { redirect: 'manual' });
    assert.equal(answer.status, 303);
    assert.match(answer.headers.get('location'), /\/console\?refused=state$/);
    assert.doesNotMatch(String(answer.headers.getSetCookie()), /rotunda_console=/);
  });

  test('a member logs in with an ID token of the application\'s client, under its own name', async () => {
    // The sign-in of the application's own page: the authorization code flow with PKCE.
    const verifier = randomBytes(32).toString('base64url');
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    const context = await browser.newContext();
    const page = await context.newPage();
    let code;
    await page.route(`${members}**`, (route) => {
      code = new URL(route.request().url()).searchParams.get('code');
      return route.fulfill({ body: 'signed in' });
    });
    const query = new URLSearchParams({
      client_id: 'app', response_type: 'code', scope: 'openid', redirect_uri: members, code_challenge: challenge, code_challenge_method: 'S256',
    });
    await page.goto(`${provider.issuer}/auth?${query}`);
    await signInAs(page, 'ann');
    await page.getByText('signed in').waitFor();
    const form = new URLSearchParams({ grant_type: 'authorization_code', client_id: 'app', code, redirect_uri: members, code_verifier: verifier });
    const { id_token: token } = await (await fetch(`${provider.issuer}/token`, { method: 'POST', body: form })).json();
    assert.ok(token, 'an ID token');

    await page.goto(`${server.url}/console`);
    const logIn = (userId, userSig) => page.evaluate(async (login) => {
      const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`);
      socket.onopen = () => socket.send(JSON.stringify(login));
      const data = await new Promise((resolve, reject) => {
        socket.onmessage = (event) => resolve(event.data);
        socket.onerror = reject;
      });
      socket.close();
      return JSON.parse(data);
    }, { id: 1, op: 'login', sdkAppId: APP, userId, userSig });
    assert.equal((await logIn('ann', token)).result, 'loggedIn');
    for (const [who, sig] of [['bob', token], ['ann', `${token.slice(0, -8)}AAAAAAAA`]]) {
      assert.equal((await logIn(who, sig)).error?.code, 'token_refused', who);
    }
    await context.close();
  });
});
