import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markedClip, startCamera } from './device_camera.mjs';
import { startBrowser, startServer } from './support.mjs';
import { pages } from './dev_pages.mjs';
const folder = mkdtempSync(join(tmpdir(), 'rdev-'));
markedClip(join(folder, 'one.h264'), 21, 4);
const server = await startServer();
const camera = await startCamera(server, folder, { clips: [join(folder, 'one.h264')] });
const browser = await startBrowser();
const page = await browser.newPage();
page.on('console', (m) => console.error('PAGE', m.text()));
page.on('pageerror', (m) => console.error('PAGEERR', m));
await page.addInitScript(readFileSync('./mark.js', 'utf8'));
await page.goto(`${await pages(server)}/device.html?device=cam_front&user=ann${process.argv[2] ?? ''}`);
for (let i = 0; i < Number(process.argv[3] ?? 12); i += 1) {
  await new Promise((r) => setTimeout(r, 1000));
  console.log(i, JSON.stringify(await page.evaluate(() => ({ mark: window.frameMark.readVideo(document.querySelector('#video')), shown: window.rotunda?.camera.shown, cover: document.querySelector('#cover').textContent, s: window.rotunda?.link.connections.server?.connectionState, d: window.rotunda?.link.connections.direct?.connectionState, msg: document.querySelector('#message').textContent }))));
}
camera.tell('status');
await new Promise((r) => setTimeout(r, 500));
const res = await camera.stop();
console.log(res.out, res.err, res.code);
console.log(server.log().split('\n').slice(-15).join('\n'));
await browser.close(); await server.stop(); process.exit();
