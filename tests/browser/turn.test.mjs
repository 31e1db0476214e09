// Clients that can only reach a TURN server get their media through it, with the name and password from the server.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eyevinnScript } from './eyevinn.mjs';
import { cannotRun, eventually, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');
const coturn = '/usr/bin/turnserver';
const SECRET = 'only-for-this-test';

/** A reason to skip, or undefined. CI installs coturn, so nothing is skipped there. */
function noCoturn() {
  if (existsSync(coturn)) return undefined;
  if (process.env.CI) throw new Error(`CI must have ${coturn}`);
  const reason = `SKIPPED: no ${coturn} (\`make setup\` installs it)`;
  console.error(reason);
  return reason;
}

async function startCoturn() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const folder = mkdtempSync(join(tmpdir(), 'rotunda-turn-'));
  const child = spawn(coturn, [
    '-n', '--listening-ip', '127.0.0.1', '--listening-port', String(port), '--relay-ip', '127.0.0.1',
    '--use-auth-secret', '--static-auth-secret', SECRET, '--realm', 'rotunda', '--allow-loopback-peers',
    '--no-tls', '--no-dtls', '--no-cli', '--log-file', 'stdout', '--pidfile', join(folder, 'pid'),
    '--userdb', join(folder, 'db'),
  ], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stdout.on('data', (text) => { log += text; });
  child.stderr.on('data', (text) => { log += text; });
  await eventually('coturn listens', () => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
  }));
  return {
    url: `turn:127.0.0.1:${port}?transport=udp`,
    log: () => log,
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Every selected pair begins at a relay. */
async function assertRelayed(page, connection) {
  const kinds = await page.evaluate(async (expression) => {
    const stats = [...(await window.eval(expression).getStats()).values()];
    const entry = (id) => stats.find((other) => other.id === id);
    const used = stats.filter(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
    return used.map(({ selectedCandidatePairId }) => entry(entry(selectedCandidatePairId).localCandidateId).candidateType);
  }, connection);
  assert.ok(kinds.length > 0 && kinds.every((kind) => kind === 'relay'), `pairs in use begin at: ${kinds}`);
}

describe('media through coturn', { skip: cannotRun() ?? noCoturn() }, () => {
  let turn;
  let server;
  let bot;
  let browser;

  before(async () => {
    turn = await startCoturn();
    server = await startServer({
      ROTUNDA__SIGNALING__TURN: `{ urls = ["${turn.url}"], secret = "${SECRET}" }`,
    });
    bot = server.start('join', '1001', '--user', 'bot', '--mark', '55');
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    await bot?.stop();
    await server?.stop();
    await turn?.stop();
  });

  test('the SDK uses the servers of enterRoom, and receives the other member through the relay', async () => {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.addInitScript(`${tools}
      markedDevices(11, 700);
      const Direct = RTCPeerConnection;
      window.RTCPeerConnection = function (configuration) {
        return new Direct({ ...configuration, iceTransportPolicy: 'relay' });
      };`);
    await page.goto(`${server.url}/?room=1001&user=ann&auto=1&audioProcessing=off`);
    const read = () => window.frameMark.readVideo(document.querySelector('video[data-user="bot"]'));
    const mark = await until(page, 'a frame of the bot', read, undefined, 40);
    assert.equal(mark.id, 55);
    await assertRelayed(page, 'window.rotunda.peerConnection()');
    await page.close();
  });

  test('a WHIP publisher connects with the servers of the Link headers', async () => {
    const page = await browser.newPage();
    await page.goto(`${server.url}/player.html`);
    await page.addScriptTag({ content: tools });
    await page.addScriptTag({ content: await eyevinnScript() });
    const authkey = (await server.run('user-sig', 'cat')).trim();
    const state = await page.evaluate(async ([endpoint, key]) => {
      window.markedDevices(66, 900);
      const options = await fetch(endpoint, { method: 'OPTIONS', headers: { Authorization: `Bearer ${key}` } });
      const link = options.headers.get('Link');
      const [, urls, username, credential] = /^<(turn:[^>]+)>; rel="ice-server"; username="([^"]+)"; credential="([^"]+)"/.exec(link);
      window.client = new window.eyevinn.WHIPClient({
        endpoint,
        opts: { authkey: key },
        peerConnectionFactory: () => {
          window.peer = new RTCPeerConnection({ iceServers: [{ urls, username, credential }], iceTransportPolicy: 'relay' });
          return window.peer;
        },
      });
      await window.client.ingest(await navigator.mediaDevices.getUserMedia({ audio: true, video: true }));
      return window.peer.iceConnectionState;
    }, [`${server.url}/whip/1001`, authkey]);
    assert.notEqual(state, 'failed');
    await until(page, 'the connection is up', () => window.peer.connectionState === 'connected');
    await assertRelayed(page, 'window.peer');
    await page.evaluate(() => window.client.destroy());
    await page.close();
  });
});
