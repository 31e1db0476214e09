// The size of the SDK's core, as an application's bundler makes it.

import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { expect, test } from 'vitest';

/** Bytes after gzip. */
const BUDGET = 40_000;

async function bundled(entry: string): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    build: { write: false, minify: true, lib: { entry: fileURLToPath(new URL(entry, import.meta.url)), formats: ['es'] } },
  });
  const outputs = Array.isArray(built) ? built : [built];
  return outputs.flatMap((one) => ('output' in one ? one.output : [])).map((file) => ('code' in file ? file.code : '')).join('');
}

test('the core has everything that it exports and is under 40 kB', async () => {
  const code = await bundled('./index.ts');
  expect(code).toContain('enterRoom');
  const size = gzipSync(code).length;
  console.log(`the SDK's core: ${(size / 1000).toFixed(1)} kB gzip of at most ${BUDGET / 1000}`);
  expect(size).toBeLessThan(BUDGET);
}, 120_000);
