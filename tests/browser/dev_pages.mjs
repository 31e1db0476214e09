import { readFileSync } from 'node:fs';
import { createServer as httpServer, request as httpRequest } from 'node:http';
import { connect as tcpConnect } from 'node:net';
const dist = new URL('../../web/dist/', import.meta.url);
const types = { html: 'text/html', js: 'text/javascript', css: 'text/css' };
export async function pages(server) {
  const port = Number(new URL(server.url).port);
  const front = httpServer((ask, answer) => {
    const path = new URL(ask.url, 'http://x').pathname.slice(1);
    if (/^(device\.html|assets\/)/.test(path)) {
      answer.writeHead(200, { 'content-type': types[path.split('.').pop()] });
      answer.end(readFileSync(new URL(path, dist)));
      return;
    }
    const on = httpRequest({ host: '127.0.0.1', port, path: ask.url, method: ask.method, headers: ask.headers }, (got) => { answer.writeHead(got.statusCode, got.headers); got.pipe(answer); });
    ask.pipe(on);
  });
  front.on('upgrade', (ask, near, head) => {
    const far = tcpConnect(port, '127.0.0.1', () => {
      far.write(`${ask.method} ${ask.url} HTTP/1.1\r\n${Object.entries(ask.headers).map(([k, v]) => `${k}: ${v}`).join('\r\n')}\r\n\r\n`);
      far.write(head); near.pipe(far); far.pipe(near);
    });
    near.on('error', () => far.destroy()); far.on('error', () => near.destroy());
    near.on('close', () => far.destroy()); far.on('close', () => near.destroy());
  });
  await new Promise((ok) => front.listen(0, ok));
  front.unref();
  return `http://localhost:${front.address().port}`;
}
