// A camera with the device library on networks of all kinds, under memory checkers, with TLS, TURN and H.265.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SECRET, noCoturn, startCoturn } from './coturn.mjs';
import { badge, checkedDemo, frames, markedClip, noDemo, record, shows, startCamera, startProxy } from './device_camera.mjs';
import { cannotRun, startBrowser, startServer, until } from './support.mjs';

const tools = readFileSync(new URL('./mark.js', import.meta.url), 'utf8');

function noValgrind() {
  if (spawnSync('valgrind', ['--version']).status === 0) return undefined;
  if (process.env.CI) throw new Error('CI must have valgrind');
  return 'SKIPPED: no valgrind (`make setup` installs it)';
}

function noChecked() {
  if (existsSync(checkedDemo)) return undefined;
  if (process.env.CI) throw new Error(`CI must have built ${checkedDemo}`);
  return `SKIPPED: no ${checkedDemo} (make device-demo)`;
}

describe('a camera on networks of all kinds', { skip: cannotRun() ?? noDemo() }, () => {
  let folder;
  let server;
  let browser;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rotunda-device-'));
    markedClip(join(folder, 'one.h264'), 41, 4);
    server = await startServer();
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function view(query) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.addInitScript(tools);
    await page.goto(`${server.url}/device.html?${query}`);
    return page;
  }

  test('the WebSocket is cut and comes back; the stream goes on', async () => {
    const proxy = await startProxy(Number(new URL(server.url).port));
    const camera = await startCamera(server, folder, { name: 'cut', url: `ws://127.0.0.1:${proxy.port}/ws`, clips: [join(folder, 'one.h264')] });
    const page = await view('device=cam_cut&user=dan&direct=off');
    await frames(page, 41);
    const from = camera.output().length;
    proxy.cut();
    await camera.says(/offline 0/, from);
    await camera.says(/event 2 /, from);
    await frames(page, 41);
    proxy.mend();
    await camera.says(/online /, from, 40);
    await frames(page, 41);
    await page.close();
    const { code } = await camera.stop();
    assert.equal(code, 0);
    proxy.close();
  });

  test('media goes over TCP where the camera is told so', async () => {
    const camera = await startCamera(server, folder, { name: 'tcp', clips: [join(folder, 'one.h264')], options: ['--tcp'] });
    const page = await view('device=cam_tcp&user=eve&direct=off');
    await frames(page, 41);
    await page.close();
    const { code } = await camera.stop();
    assert.equal(code, 0);
  });

  test('valgrind has nothing to say about a camera with a viewer, from its start to its exit', { skip: noValgrind() }, async () => {
    const wrap = ['valgrind', '--quiet', '--leak-check=full', '--errors-for-leak-kinds=definite,indirect,possible', '--error-exitcode=9'];
    const camera = await startCamera(server, folder, { name: 'checked', clips: [join(folder, 'one.h264')], wrap, waits: 120 });
    const page = await view('device=cam_checked&user=gus');
    // It is too slow under valgrind to play well: a few frames by either way are enough.
    await until(page, 'a frame', shows(41), undefined, 120);
    await page.evaluate(() => window.rotunda.camera.command(0, new Uint8Array(16 * 1024)));
    camera.tell('status');
    const { code, out, err } = await camera.stop();
    assert.equal(err, '', out);
    assert.equal(code, 0, out);
    await page.close();
  });

  test('the demo has no memory error, undefined behaviour or leak beside the library (AddressSanitizer)', { skip: noChecked() }, async () => {
    const camera = await startCamera(server, folder, { name: 'asan', clips: [join(folder, 'one.h264')], program: checkedDemo, waits: 60 });
    record(camera, 1_000_000, 2, 42);
    const page = await view('device=cam_asan&user=hal');
    await frames(page, 41, 60);
    const request = (op, fields) => page.evaluate(([name, given]) => window.rotunda.link.request(name, { channel: 0, ...given }).then(({ json }) => json, ({ code }) => code), [op, fields]);
    assert.equal((await request('day', { begin: 0, end: 2_000_000 })).fragments.length, 1);
    assert.equal((await request('files', { begin: 0, end: 2_000_000 })).files.length, 1);
    assert.equal(await page.evaluate(() => window.rotunda.camera.command(0, new Uint8Array(16 * 1024)).then(({ length }) => length)), 16 * 1024);
    const bytes = await page.evaluate(async () => {
      const pieces = await window.rotunda.camera.download(0, { name: '1000000-1000002.h264', size: 1 }, () => {}, new AbortController().signal);
      return pieces.reduce((sum, piece) => sum + piece.length, 0);
    });
    assert.equal(bytes, statSync(join(camera.card, '1000000-1000002.h264')).size);
    const { code, out, err } = await camera.stop();
    assert.equal(err, '', out);
    assert.equal(code, 0, out);
    await page.close();
  });

  test('a camera of H.265 is refused by name where the browser cannot show it, and shown where it can', async () => {
    markedClip(join(folder, 'new.h265'), 43, 4);
    const camera = await startCamera(server, folder, { name: 'new', clips: [join(folder, 'new.h265')] });
    const page = await view('device=cam_new&user=ida');
    const can = await page.evaluate(() => RTCRtpReceiver.getCapabilities('video').codecs.some(({ mimeType }) => mimeType.toLowerCase() === 'video/h265'));
    if (can) await frames(page, 43);
    else await until(page, 'the refusal', () => document.querySelector('#cover').textContent.includes('the camera sends H.265'));
    const asked = await page.evaluate(() => window.rotunda.link.request('play', { channel: 0, quality: 'sd', codecs: ['h264'] }).then(() => 'ok', ({ code }) => code));
    assert.equal(asked, 'codec_not_supported');
    const { json } = await page.evaluate(() => window.rotunda.link.request('play', { channel: 0, quality: 'fl', codecs: ['h264', 'h265'] }));
    assert.equal(json.video.codec, 'h265');
    await camera.says(/start visitor=0 channel=0 quality=0/);
    await page.close();
    const { code } = await camera.stop();
    assert.equal(code, 0);
  });

  test('a camera with a wrong ticket says so and does not come', async () => {
    const other = await startServer();
    await assert.rejects(startCamera({ ...server, run: other.run }, folder, { name: 'wrong', clips: [join(folder, 'one.h264')], waits: 5 }), /the server refuses cam_wrong/);
    await other.stop();
  });
});

describe('a camera behind a NAT, with coturn', { skip: cannotRun() ?? noDemo() ?? noCoturn() }, () => {
  let folder;
  let turn;
  let server;
  let browser;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rotunda-device-'));
    markedClip(join(folder, 'one.h264'), 51, 4);
    turn = await startCoturn();
    server = await startServer({
      ROTUNDA__SIGNALING__TURN: `{ urls = ["${turn.url}"], secret = "${SECRET}" }`,
      ROTUNDA__SIGNALING__ICE_URLS: `["${turn.url.replace('turn:', 'stun:').replace(/\?.*/, '')}"]`,
    });
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    await turn?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A viewer's page that is told no other of the camera's addresses than those of this kind. */
  async function view(user, kind) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.addInitScript(`${tools}
      const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
        const isCamera = sdp.includes(' typ relay');
        const kept = sdp.split('\\n').filter((line) => !isCamera || !line.startsWith('a=candidate:') || line.includes(' typ ${kind}'));
        return set.call(this, { type, sdp: kept.join('\\n') });
      };`);
    await page.goto(`${server.url}/device.html?device=cam_nat&user=${user}`);
    return page;
  }

  test('a viewer who is told no address but a relay of the TURN server sees the camera directly', async () => {
    const camera = await startCamera(server, folder, { name: 'nat', clips: [join(folder, 'one.h264')] });
    const page = await view('joe', 'relay');
    await frames(page, 51);
    await badge(page, 'Direct');
    await frames(page, 51);
    const kinds = await page.evaluate(async () => {
      const stats = [...(await window.rotunda.link.connections.direct.getStats()).values()];
      const entry = (id) => stats.find((other) => other.id === id);
      const used = stats.filter(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
      return used.map(({ selectedCandidatePairId }) => entry(entry(selectedCandidatePairId).remoteCandidateId).candidateType);
    });
    // On one machine a check of the camera may reach the viewer past the relay: its address is then learned from the peer.
    assert.ok(kinds.length === 1 && ['relay', 'prflx'].includes(kinds[0]), `${kinds}`);
    const [link] = await camera.status();
    assert.equal(link.mode, 1, 'past the SFU');
    await page.close();
    const { code } = await camera.stop();
    assert.equal(code, 0);
  });
});

describe('a camera and a server with TLS of its own', { skip: cannotRun() ?? noDemo() }, () => {
  let folder;
  let server;
  let browser;
  let certificate;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rotunda-device-'));
    markedClip(join(folder, 'one.h264'), 61, 4);
    certificate = join(folder, 'certificate.pem');
    const key = join(folder, 'key.pem');
    const made = spawnSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', certificate,
    ]);
    assert.equal(made.status, 0, String(made.stderr));
    server = await startServer({ ROTUNDA__SERVER__TLS: `{ certificate = "${certificate}", key = "${key}" }` });
    browser = await startBrowser();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const url = () => `${server.url.replace('http:', 'wss:')}/ws`;

  test('wss is spoken with a server whose certificate is trusted (SSL_CERT_FILE)', async () => {
    const camera = await startCamera(server, folder, { name: 'tls', url: url(), clips: [join(folder, 'one.h264')], env: { SSL_CERT_FILE: certificate } });
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    await page.addInitScript(tools);
    await page.goto(`${server.url.replace('http:', 'https:')}/device.html?device=cam_tls&user=kim&direct=off`);
    await frames(page, 61);
    await page.close();
    const { code } = await camera.stop();
    assert.equal(code, 0);
  });

  test('a certificate that nobody vouches for is refused, and the log says so', async () => {
    const started = startCamera(server, folder, { name: 'tls', url: url(), clips: [join(folder, 'one.h264')], waits: 3 });
    await assert.rejects(started, /certificate/i);
  });
});
