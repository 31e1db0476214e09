// A link with a limited rate between a page and the server's media port: datagrams pass through this process.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** A datagram that would wait longer is lost, milliseconds. */
const QUEUE = 300;
/** Of IP and UDP, bytes. */
const HEADERS = 28;

export class SlowLink {
  /** Bit/s towards the page. The other direction has no limit. */
  rate = Infinity;
  #sockets = [];
  #waiting = [];
  #freeAt = 0;
  #isOpen = true;

  /** Routes the page's connections through the link; call it before the page's scripts run. */
  async lead(page) {
    await page.exposeFunction('throughLink', (address, port) => this.#open(address, port));
    await page.addInitScript(() => {
      const { setRemoteDescription } = RTCPeerConnection.prototype;
      RTCPeerConnection.prototype.setRemoteDescription = async function set({ type, sdp }) {
        const lines = [];
        const ports = new Map();
        for (const line of sdp.split('\r\n')) {
          const fields = line.split(' ');
          const [, , protocol, , address, port] = fields;
          if (line.startsWith('a=candidate:')) {
            if (protocol.toLowerCase() !== 'udp' || address.includes(':')) continue;
            if (!ports.has(port)) ports.set(port, await window.throughLink(address, Number(port)));
            [fields[4], fields[5]] = ['127.0.0.1', ports.get(port)];
          }
          lines.push(fields.join(' '));
        }
        return setRemoteDescription.call(this, { type, sdp: lines.join('\r\n') });
      };
    });
  }

  close() {
    this.#waiting = [];
    this.#isOpen = false;
    for (const socket of this.#sockets) socket.close();
  }

  /** Returns the port at which the page reaches the server. */
  async #open(address, port) {
    const front = await this.#bind();
    const backs = new Map();
    front.on('message', async (bytes, from) => {
      const name = `${from.address}:${from.port}`;
      if (!backs.has(name)) {
        backs.set(name, this.#bind().then((back) => back.on('message', (answer) => this.#carry(answer, front, from))));
      }
      const back = await backs.get(name);
      if (this.#isOpen) back.send(bytes, port, address);
    });
    return front.address().port;
  }

  async #bind() {
    const socket = createSocket('udp4');
    this.#sockets.push(socket);
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return socket;
  }

  #carry(bytes, front, to) {
    const now = performance.now();
    const start = Math.max(now, this.#freeAt);
    if (start - now > QUEUE) return;
    this.#freeAt = start + ((bytes.length + HEADERS) * 8000) / this.rate;
    this.#waiting.push({ bytes, front, to, at: this.#freeAt });
    if (this.#waiting.length === 1) this.#deliver();
  }

  /** Delivers the datagrams in order. */
  #deliver() {
    while (this.#waiting.length > 0) {
      const [{ bytes, front, to, at }] = this.#waiting;
      const left = at - performance.now();
      if (left > 0.5) {
        setTimeout(() => this.#deliver(), left);
        return;
      }
      this.#waiting.shift();
      front.send(bytes, to.port, to.address);
    }
  }
}
