// The common part of all browser tests: the real server on free ports, real Chromium, marks and tones.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { servePages } from './built_pages.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = process.env.ROTUNDA_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug/rotunda');
const browser = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** A reason to skip, or undefined. CI installs Chromium, so nothing is skipped there. */
export function cannotRun() {
  if (existsSync(browser)) return undefined;
  if (process.env.CI) throw new Error(`CI must have Chromium at ${browser}`);
  const reason = `SKIPPED: no Chromium at ${browser} (apt-get install chromium)`;
  console.error(reason);
  return reason;
}

async function listen(port) {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** A port that is free together with the next one: each media worker has its own. */
export async function freePort() {
  for (;;) {
    const first = await listen(0);
    const { port } = first.address();
    const next = await listen(port + 1).catch(() => undefined);
    for (const server of [first, next]) {
      server?.close();
      if (server) await once(server, 'close');
    }
    if (next) return port;
  }
}

/** The error for a port that another program took between the check and the server's start. */
const TAKEN = 'is taken by another program';

/** Settings of a server on free ports, in its own folder. */
async function ownSettings(settings) {
  const data = mkdtempSync(join(tmpdir(), 'rotunda-test-'));
  const [grpc, rtmp, media] = [await freePort(), await freePort(), await freePort()];
  const http = settings.ROTUNDA__SERVER__PORT ?? await freePort();
  const env = {
    ...process.env,
    ROTUNDA__SERVER__DATA: data,
    ROTUNDA__SERVER__PORT: String(http),
    ROTUNDA__RECORDER__DIRECTORY: join(data, 'recordings'),
    ROTUNDA__RECORDER__PUBLIC_URL: `http://127.0.0.1:${http}`,
    ROTUNDA__LIVE__RTMP_PORT: String(rtmp),
    ROTUNDA__SIGNALING__API: `{ grpc_port = ${grpc} }`,
    ROTUNDA__SFU__PORT: String(media),
    // Rooms are on both workers, so that every test also covers the relay between workers.
    ROTUNDA__SFU__WORKERS: '2',
    ROTUNDA__SFU__ROOM_SESSIONS: '1',
    ...settings,
  };
  return { data, http, env };
}

/** Starts `rotunda demo`; `stop()` lets it finish its files. */
export async function startDemo(tries = 5) {
  const { data, http, env } = await ownSettings({});
  const demo = spawn(binary, ['demo'], { env, cwd: data, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  demo.stderr.on('data', (text) => { out += text; });
  const ended = await new Promise((resolve) => {
    demo.stdout.on('data', (text) => {
      out += text;
      if (out.includes('Demo room')) resolve(undefined);
    });
    demo.on('close', (code) => resolve(`the demo ended with ${code}:\n${out}`));
  });
  if (ended) {
    rmSync(data, { recursive: true, force: true });
    if (ended.includes(TAKEN) && tries > 1) return startDemo(tries - 1);
    throw new Error(ended);
  }
  return {
    url: `http://localhost:${http}`,
    async stop() {
      const exited = once(demo, 'exit');
      demo.kill('SIGINT');
      const [code] = await exited;
      rmSync(data, { recursive: true, force: true });
      if (code !== 0) throw new Error(`the demo ended with ${code}:\n${out}`);
    },
  };
}

/** Starts `rotunda serve` in its own folder; `stop()` ends it in order and fails if that is not possible. `roles`: empty for those of rooms. */
export async function startServer(settings = {}, roles = [], tries = 5) {
  const { data, http, env } = await ownSettings(settings);
  let log = '';
  const spawnServer = async () => {
    const started = spawn(binary, roles.length ? ['serve', '--roles', roles.join(',')] : ['serve'], { env, cwd: data, stdio: ['ignore', 'pipe', 'pipe'] });
    started.stderr.on('data', (text) => { log += text; });
    const ended = await new Promise((resolve) => {
      started.stdout.on('data', (text) => { if (String(text).includes('ready')) resolve(undefined); });
      // With its whole log.
      started.on('close', (code) => resolve(`the server ended with ${code}:\n${log}`));
    });
    return { server: started, ended };
  };
  const end = async () => {
    const exited = once(server, 'exit');
    server.kill('SIGTERM');
    const [code] = await exited;
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${log}`);
  };
  const first = await spawnServer();
  let { server } = first;
  const { ended } = first;
  if (ended) {
    rmSync(data, { recursive: true, force: true });
    if (ended.includes(TAKEN) && tries > 1) return startServer(settings, roles, tries - 1);
    throw new Error(ended);
  }
  const pages = process.env.ROTUNDA_PAGES ? await servePages(process.env.ROTUNDA_PAGES, http) : undefined;
  return {
    url: pages?.url ?? `http://localhost:${http}`,
    get pid() { return server.pid; },
    env,
    log: () => log,
    /** Runs another command of the binary against this server. */
    async run(...args) {
      const child = spawn(binary, args, { env, cwd: data, stdio: ['ignore', 'pipe', 'pipe'] });
      let out = '';
      child.stdout.on('data', (text) => { out += text; });
      child.stderr.on('data', (text) => { out += text; });
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new Error(`rotunda ${args.join(' ')} ended with ${code}:\n${out}`);
      return out;
    },
    /** Starts a command that runs until it is stopped. */
    start(...args) {
      const child = spawn(binary, args, { env, cwd: data, stdio: 'ignore' });
      const exited = once(child, 'exit');
      // It may have ended by itself: a member who is removed leaves.
      const end = async (signal) => { child.kill(signal); await exited; };
      return { stop: () => end('SIGINT'), kill: () => end('SIGKILL') };
    },
    /** Ends the server in order, and starts it again on the same ports and data. */
    async restart() {
      await end();
      const again = await spawnServer();
      if (again.ended) throw new Error(again.ended);
      server = again.server;
    },
    async stop() {
      pages?.close();
      await end();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** A separate Chromium: all pages of one browser share its fake devices, so each member needs another browser. */
export async function startBrowser() {
  const started = await chromium.launch({
    executablePath: browser,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-first-run',
      '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
      '--autoplay-policy=no-user-gesture-required', '--allow-loopback-in-peer-connection',
    ],
  });
  return started;
}

/** Waits until `check` (in the page) returns a true value; after `seconds` it fails with the page's text. */
export async function until(page, what, check, argument, seconds = 20) {
  try {
    const handle = await page.waitForFunction(check, argument, { timeout: seconds * 1000, polling: 100 });
    return await handle.jsonValue();
  } catch (error) {
    throw new Error(`${what}: not within ${seconds} s (${error.message.split('\n')[0]})\npage: ${await page.locator('body').innerText()}`);
  }
}

/** Waits, in this process, until `check` returns a true value. */
export async function eventually(what, check, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => { setTimeout(resolve, 200); });
  }
}
