// The one change to what browsers offer by themselves.

/** Lost packets of Opus are sent again, both ways (RFC 4585 section 4.2): browsers can, and offer it for pictures alone. */
export function askForSoundAgain(offer: string): string {
  return offer.replace(/^a=rtpmap:(\d+) opus\/.*\r\n/gim, (line, type: string) => {
    const ask = `a=rtcp-fb:${type} nack\r\n`;
    return offer.includes(ask) ? line : line + ask;
  });
}
