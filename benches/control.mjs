#!/usr/bin/env node
// The delay of control calls while many rooms run, and what calls do to the media: 200 rooms with a publisher and two viewers each, and a mix of one more
// room. First the rooms run without calls, then with 16 relayouts of the mix and 4 other calls a second (1,000 relayouts a minute).
//
//   node benches/control.mjs [--rooms N] [--seconds S] [--video-packets P]
//
// Needs a build (`make build`, or ROTUNDA_BINARY=target/release/rotunda) and a quiet machine. Printed: p50, p95 and p99 of each kind of call,
// milliseconds; the viewers' lost packets, freezes and delays without and with calls; and ticks of the mix that were late.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { startServer, eventually } = await import(new URL('../tests/browser/support.mjs', import.meta.url));

const { values } = parseArgs({
  options: {
    rooms: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '30' },
    'video-packets': { type: 'string', default: '20' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  const [, ...lines] = readFileSync(new URL(import.meta.url), 'utf8').split('\n');
  console.log(lines.slice(0, lines.indexOf('')).map((line) => line.replace(/^\/\/ ?/, '')).join('\n'));
  process.exit();
}
const MIXED = 1001;
// As the default configuration: rooms of three members stay on one worker.
const server = await startServer({ ROTUNDA__SFU__WORKERS: '1', ROTUNDA__SFU__ROOM_SESSIONS: '1000' });
const secrets = readFileSync(join(server.env.ROTUNDA__SERVER__DATA, 'secrets.toml'), 'utf8');
const secret = (name) => new RegExp(`^${name} = "?([^"\n]*)`, 'm').exec(secrets)[1];
const app = Number(secret('sdk_app_id'));
const authorization = `Bearer ${secret('secret_id')}:${secret('api_secret')}`;

/** Calls an action; answers its result and how long it took, milliseconds. */
async function call(action, parameters) {
  const from = performance.now();
  const answer = await fetch(`${server.url}/v1/${action}`, {
    method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(parameters),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${action}: ${JSON.stringify(body)}`);
  return { body, took: performance.now() - from };
}

/** The mix with one of two layouts. */
const mix = (number) => call('StartMCUMixTranscode', {
  SdkAppId: app,
  RoomId: MIXED,
  OutputParams: { StreamId: 'bench' },
  EncodeParams: {
    VideoWidth: 640, VideoHeight: 360, VideoBitrate: 600, VideoFramerate: 15, VideoGop: 2, AudioSampleRate: 48000, AudioBitrate: 64, AudioChannels: 2,
  },
  LayoutParams: { Template: number % 2 },
});
const others = [
  () => call('DescribeRoomInfo', { SdkAppId: app, StartTime: Math.floor(Date.now() / 1000) - 3600, EndTime: Math.floor(Date.now() / 1000) }),
  () => call('ListRooms', {}),
  () => call('ListMembers', { Room: String(MIXED) }),
  () => call('ListMixes', {}),
];
const lateTicks = async () => {
  const { body } = await call('ListMixes', {});
  return JSON.stringify(body).match(/"LateTicks":\d+/g)?.reduce((sum, text) => sum + Number(text.split(':')[1]), 0) ?? 0;
};

/** Runs the rooms once, and calls meanwhile; answers the report of `rotunda load`. */
async function rooms(name, calls) {
  const report = join(server.env.ROTUNDA__SERVER__DATA, `${name}.json`);
  const load = server.run('load', '--rooms', values.rooms, '--publishers', '1', '--viewers', '2', '--video-packets', values['video-packets'],
    '--audio-packets', '10', '--join-rate', '50', '--seconds', values.seconds, '--user-prefix', name, '--json', report);
  await eventually('all members are in their rooms', async () => {
    const page = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/^rotunda_signaling_members (\d+)/m.exec(page)?.[1]) >= Number(values.rooms) * 3 + 2;
  }, 60);
  const late = await lateTicks();
  const stop = new AbortController();
  const calling = calls(stop.signal);
  const out = await load;
  stop.abort();
  await calling;
  console.log(`${name} calls, late ticks of the mix: ${await lateTicks() - late}\n${out.trim()}\n`);
}

/** Twenty calls a second until the signal, sixteen of them relayouts. */
async function callers(took, signal) {
  const pending = new Set();
  for (let number = 0; !signal.aborted; number += 1) {
    const [name, made] = number % 5 ? ['relayout', () => mix(number)] : ['other', others[(number / 5) % others.length]];
    const one = made().then((done) => { took[name].push(done.took); }, (error) => { took.refused.push(String(error)); });
    pending.add(one);
    void one.finally(() => pending.delete(one));
    await new Promise((resolve) => { setTimeout(resolve, 51); });
  }
  await Promise.all(pending);
}

const at = (numbers, share) => numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))];
const members = [1, 2].map((number) => server.start('join', String(MIXED), '--user', `member${number}`, '--mark', String(number), '--fps', '15'));
try {
  await eventually('the mix starts', async () => mix(0).then(() => true, () => false), 60);
  await rooms('without', async () => {});
  const took = { relayout: [], other: [], refused: [] };
  await rooms('with', (signal) => callers(took, signal));
  for (const name of ['relayout', 'other']) {
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => at(took[name], share).toFixed(1));
    console.log(`${name}: ${took[name].length} calls, p50 ${p50}, p95 ${p95}, p99 ${p99} ms`);
  }
  console.log(`refused: ${took.refused.length} ${took.refused[0] ?? ''}`);
} finally {
  for (const member of members) await member.stop();
  await server.stop();
}
