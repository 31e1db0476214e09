// Pages of the tests' own at the server's address: a bundle of the web SDK's source, and some HTML.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const web = fileURLToPath(new URL('../../web/src/', import.meta.url));

/** The bundle of an entry (a path in this folder, or the text of a module); its exports are the global `app`. */
export async function bundle({ path, text, alias = {} }) {
  const { outputFiles } = await build({
    ...(path ? { entryPoints: [fileURLToPath(new URL(path, import.meta.url))] } : { stdin: { contents: text, resolveDir: web, loader: 'ts' } }),
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'app',
    target: 'es2022',
    alias,
    logLevel: 'error',
  });
  return outputFiles[0].text;
}

/**
 * Opens a page at the server's own address. It begins as a page of the server: to one that only the test has made, browsers
 * allow no connection to this machine.
 */
export async function openPage(page, server, html, script) {
  await page.goto(`${server.url}/schema.json`);
  await page.setContent(html, { waitUntil: 'domcontentloaded' });
  await page.addScriptTag({ content: script });
}

/** A ticket of a server in demo mode. */
export async function ticket(server, userId) {
  const answer = await fetch(`${server.url}/demo/user-sig`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ userId }),
  });
  return { userId, ...await answer.json() };
}
