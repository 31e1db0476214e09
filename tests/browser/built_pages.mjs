// With ROTUNDA_PAGES=web/dist the tests see the pages of this folder in place of those in the binary: changed pages need no build of the
// server. Everything else, WebSockets too, goes to the server.

import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.wav': 'audio/wav' };

/** The file of a path, or undefined: then the server has it. */
export function pageOf(folder, path) {
  const name = path === '/' ? '/index.html' : path === '/console' ? '/console.html' : path;
  const file = join(folder, normalize(name));
  return extname(file) in TYPES && existsSync(file) ? { body: readFileSync(file), type: TYPES[extname(file)] } : undefined;
}

/** Serves the folder on a free port, and passes everything else on to `port`. Without a port, everything else is not found. */
export async function servePages(folder, port) {
  const server = createServer((asked, answer) => {
    const page = pageOf(folder, new URL(asked.url, 'http://localhost').pathname);
    if (page) return answer.writeHead(200, { 'content-type': page.type }).end(page.body);
    if (port === undefined) return answer.writeHead(404).end();
    const { method, url, headers } = asked;
    const passed = request({ host: '127.0.0.1', port, method, path: url, headers }, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    asked.pipe(passed);
  });
  server.on('upgrade', (asked, socket, head) => {
    const passed = connect(port ?? 0, '127.0.0.1', () => {
      const lines = Object.entries(asked.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
      passed.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${lines}\r\n`);
      passed.write(head);
      socket.pipe(passed).pipe(socket);
    });
    for (const [one, other] of [[socket, passed], [passed, socket]]) one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://localhost:${server.address().port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
