// The common part of the benches with browsers: network namespaces, links between them with loss and delay, the
// server in one of them and Chromium in any.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { chromium } = createRequire(join(root, 'tests/browser/package.json'))('playwright-core');

/** Frame marks and tones, for a page. */
export const marks = readFileSync(join(root, 'tests/browser/mark.js'), 'utf8');
export const SERVER = '10.78.0.1';
export const URL_OF_SERVER = `http://${SERVER}:8080`;
/** For `parseArgs`. */
export const options = {
  link: { type: 'string' },
  server: { type: 'string', default: join(root, 'target/release/rotunda') },
};

export const sleep = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
export const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
export const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

/** Runs `work` on a stage of namespaces with these names, and removes everything afterwards. */
export async function onStage(names, values, work) {
  const stage = new Stage(names, values);
  try {
    await work(stage);
  } finally {
    await stage.close();
  }
  process.exit(0);
}

class Stage {
  constructor(names, { link, server }) {
    this.folder = mkdtempSync(join(tmpdir(), 'network-'));
    this.binary = resolve(server);
    this.children = [];
    this.program = link;
    /** By role. */
    this.namespaces = Object.fromEntries(names.map((name) => [name, `rot-${name}-${process.pid}`]));
    for (const namespace of Object.values(this.namespaces)) {
      ip('netns', 'add', namespace);
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
    }
  }

  async close() {
    for (const child of this.children) child.kill('SIGTERM');
    await Promise.race([Promise.all(this.children.map((child) => child.exitCode ?? once(child, 'exit'))), sleep(5)]);
    for (const namespace of Object.values(this.namespaces)) {
      try { ip('netns', 'del', namespace); } catch { /* was not made */ }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A link between the server and another namespace, with an interface of this name on both sides; `set` changes it while it runs. */
  async startLink(to = 'viewer', name = 'cable', network = '10.78.0') {
    const control = join(this.folder, `link-${to}-${name}`);
    const { server, [to]: other } = this.namespaces;
    const child = spawn(this.netemLink(), [
      '-a', `${server}:${name}:${network}.1/24`, '-b', `${other}:${name}:${network}.2/24`, '-c', control, '-k',
    ], { stdio: 'inherit' });
    this.children.push(child);
    for (let tries = 0; ; tries += 1) {
      try {
        if (String(ip('-n', other, 'link', 'show', name)).includes('UP')) break;
      } catch (error) {
        if (tries > 50) throw error;
      }
      await sleep(0.1);
    }
    return {
      /** `direction`: ab (from the server), ba or both. */
      async set(direction, spec) {
        const text = `${direction} ${spec}`;
        execFileSync('python3', ['-c', `
import socket, sys, os, tempfile
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.path.join(tempfile.mkdtemp(), "c"))
s.settimeout(3)
s.sendto(sys.argv[2].encode(), sys.argv[1])
s.recv(4096)`, control, text]);
      },
    };
  }

  /** Drops every UDP datagram that arrives at a role by an interface; returns a function that ends this. */
  blockUdp(role, name) {
    const tc = (...args) => execFileSync('ip', ['netns', 'exec', this.namespaces[role], 'tc', ...args]);
    tc('qdisc', 'add', 'dev', name, 'clsact');
    // Classic BPF: the protocol of an IPv4 packet in an Ethernet frame; 17 (UDP) is dropped.
    tc('filter', 'add', 'dev', name, 'ingress', 'bpf', 'da', 'bytecode', '4,48 0 0 23,21 0 1 17,6 0 0 2,6 0 0 0');
    return () => tc('qdisc', 'del', 'dev', name, 'clsact');
  }

  netemLink() {
    if (!this.program) {
      this.program = join(this.folder, 'netem_link');
      const source = join(root, '../shared/tools/netem_link/netem_link.c');
      if (!existsSync(source)) throw new Error('no netem_link: give it with --link');
      execFileSync('cc', ['-O2', '-o', this.program, source]);
    }
    return this.program;
  }

  async startServer() {
    const env = {
      ...process.env,
      ROTUNDA__SERVER__DATA: this.folder,
      ROTUNDA__RECORDER__DIRECTORY: join(this.folder, 'recordings'),
      ROTUNDA__SFU__WORKERS: '1',
      ROTUNDA__SFU__ADVERTISE: `["${SERVER}"]`,
      ROTUNDA__SERVER__LOG: process.env.BENCH_LOG ?? 'warn',
    };
    const inside = (...args) => ['netns', 'exec', this.namespaces.server, this.binary, ...args];
    const cwd = this.folder;
    const server = spawn('ip', inside('serve'), { env, cwd, stdio: ['ignore', 'pipe', 'inherit'] });
    this.children.push(server);
    await new Promise((resolve, reject) => {
      server.stdout.on('data', (text) => { if (String(text).includes('ready')) resolve(); });
      server.on('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    });
    server.removeAllListeners('exit');
    return {
      run: (...args) => execFileSync('ip', inside(...args), { env, cwd, encoding: 'utf8' }).trim(),
      start: (...args) => {
        this.children.push(spawn('ip', inside(...args), { env, cwd, stdio: 'ignore' }));
      },
    };
  }

  /** Chromium in the namespace of a role. */
  startBrowser(role, user) {
    const wrapper = join(this.folder, `chromium-${user}`);
    const program = process.env.CHROMIUM ?? '/usr/bin/chromium';
    writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${this.namespaces[role]} ${program} "$@"\n`);
    chmodSync(wrapper, 0o755);
    return chromium.launch({
      executablePath: wrapper,
      args: [
        '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--autoplay-policy=no-user-gesture-required',
        '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
        `--unsafely-treat-insecure-origin-as-secure=${URL_OF_SERVER}`,
      ],
    });
  }

  /** The demo page in its own Chromium; with a marked camera of this size, or only watching. */
  async enterByPage(role, user, camera) {
    const browser = await this.startBrowser(role, user);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${user}:`, error));
    const [width, height] = camera?.size ?? [];
    const devices = camera
      ? `markedDevices(${camera.mark}, 700, ${width}, ${height});`
      : 'navigator.mediaDevices.getUserMedia = async () => new MediaStream();';
    await page.addInitScript(`${marks}\n${devices}`);
    const codec = camera?.codec ? `&codec=${camera.codec}` : '';
    await page.goto(`${URL_OF_SERVER}/?room=1&user=${user}${codec}&auto=1&audioProcessing=off&adapt=off`, { waitUntil: 'domcontentloaded' });
    await page.waitForFunction(() => window.rotunda?.peerConnection()?.connectionState === 'connected');
    return { browser, page };
  }

  /** The server's statistics of a member's connection. */
  memberStatistics(user) {
    const secrets = readFileSync(join(this.folder, 'secrets.toml'), 'utf8');
    const [id, secret] = ['secret_id', 'api_secret'].map((key) => new RegExp(`${key} = "([^"]+)"`).exec(secrets)[1]);
    const app = /sdk_app_id = (\d+)/.exec(secrets)[1];
    const text = execFileSync('ip', [
      'netns', 'exec', this.namespaces.server, 'curl', '-s', '-H', `Authorization: Bearer ${id}:${secret}`,
      `${URL_OF_SERVER}/api/rooms/1/members/${user}/statistics?sdkAppId=${app}`,
    ], { encoding: 'utf8' });
    return JSON.parse(text);
  }
}
