// coturn as a process of its own, for tests of TURN.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './support.mjs';

const coturn = '/usr/bin/turnserver';
export const SECRET = 'only-for-this-test';

/** A reason to skip, or undefined. CI installs coturn, so there nothing is skipped. */
export function noCoturn() {
  if (existsSync(coturn)) return undefined;
  if (process.env.CI) throw new Error(`CI must have ${coturn}`);
  const reason = `SKIPPED: no ${coturn} (\`make setup\` installs it)`;
  console.error(reason);
  return reason;
}

export async function startCoturn() {
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
