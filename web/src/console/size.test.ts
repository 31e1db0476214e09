// What a browser loads before it shows the console, as the page is built. Players are loaded when they are needed.

import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { expect, test } from 'vitest';

/** Bytes after gzip. */
const BUDGET = 150_000;

test('the first load is under 150 kB', async () => {
  const built = await build({
    configFile: false,
    root: fileURLToPath(new URL('../..', import.meta.url)),
    logLevel: 'silent',
    build: { write: false, minify: true, rollupOptions: { input: fileURLToPath(new URL('../../console.html', import.meta.url)) }, chunkSizeWarningLimit: 900 },
  });
  const outputs = Array.isArray(built) ? built : [built];
  const files = outputs.flatMap((one) => ('output' in one ? one.output : []));
  const chunks = files.flatMap((file) => (file.type === 'chunk' ? [file] : []));
  const isFirst = new Set<string>();
  const add = (name: string): void => {
    if (isFirst.has(name)) return;
    isFirst.add(name);
    chunks.find((chunk) => chunk.fileName === name)?.imports.forEach(add);
  };
  chunks.filter((chunk) => chunk.isEntry).forEach((chunk) => add(chunk.fileName));
  const styles = files.flatMap((file) => (file.type === 'asset' && /\.(css|html)$/.test(file.fileName) ? [String(file.source)] : []));
  const first = [...chunks.filter((chunk) => isFirst.has(chunk.fileName)).map((chunk) => chunk.code), ...styles];
  const size = first.reduce((sum, text) => sum + gzipSync(text).length, 0);
  console.log(`the console's first load: ${(size / 1000).toFixed(1)} kB gzip of at most ${BUDGET / 1000}`);
  expect(size).toBeGreaterThan(20_000);
  expect(size).toBeLessThan(BUDGET);
  expect(chunks.filter((chunk) => !isFirst.has(chunk.fileName)).some((chunk) => chunk.fileName.includes('hls')), 'hls.js is loaded later').toBe(true);
}, 120_000);
