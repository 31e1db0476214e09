// A network namespace with an interface and a default route, because Firefox gathers no candidates without one.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PREPARE = `
  ip link set lo up
  ip link add cable type veth peer name plug
  ip address add 10.79.0.1/24 dev cable
  ip link set cable up
  ip link set plug up
  ip route add default via 10.79.0.2 dev cable
  exec "$@"`;

/** A reason to skip, or undefined. */
export function noOwnNetwork() {
  if (spawnSync('unshare', ['--net', 'true']).status === 0) return undefined;
  const reason = 'SKIPPED: making a network namespace is not permitted (it needs root)';
  console.error(reason);
  return reason;
}

/** Runs a test file there, and fails if one of its tests fails. */
export async function runOnOwnNetwork(file) {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const program = [process.execPath, '--test-reporter=spec', fileURLToPath(new URL(file, import.meta.url))];
  const child = spawn('unshare', ['--net', 'sh', '-ec', PREPARE, 'sh', ...program], { env, stdio: ['ignore', 2, 2] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${file} ended with ${code}, see above`);
}
