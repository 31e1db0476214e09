// Changes to the SDP that browsers offer.

/** Retransmission of lost Opus packets in both directions (RFC 4585 section 4.2): browsers support it, but offer it only for video. */
export function askForAudioNack(offer: string): string {
  return offer.replace(/^a=rtpmap:(\d+) opus\/.*\r\n/gim, (line, type: string) => {
    const ask = `a=rtcp-fb:${type} nack\r\n`;
    return offer.includes(ask) ? line : line + ask;
  });
}

/**
 * Stereo (RFC 7587 section 7.1): without `stereo=1` in the offer, browsers decode stereo to mono. Receive lines always ask
 * for it, which costs nothing if the sender is mono. A send line has `sprop-stereo=1` if `sends` is set; browsers then use
 * twice the bitrate, even for a mono microphone.
 */
export function askForStereo(offer: string, sends: boolean): string {
  const sections = offer.split(/^(?=m=)/m);
  return sections.map((section) => {
    if (!section.startsWith('m=audio')) return section;
    if (section.includes('a=recvonly')) return withOpusParameters(section, ['stereo=1']);
    return sends ? withOpusParameters(section, ['stereo=1', 'sprop-stereo=1']) : section;
  }).join('');
}

function withOpusParameters(section: string, wanted: string[]): string {
  const type = /^a=rtpmap:(\d+) opus\//im.exec(section)?.[1];
  if (type === undefined) return section;
  const format = new RegExp(`^a=fmtp:${type} (.*)\\r\\n`, 'm');
  const present = format.exec(section)?.[1]?.split(';').map((one) => one.trim()) ?? [];
  const names = wanted.map((one) => `${one.split('=')[0] ?? ''}=`);
  const kept = present.filter((one) => !names.some((name) => one.startsWith(name)));
  const line = `a=fmtp:${type} ${[...kept, ...wanted].join(';')}\r\n`;
  if (format.test(section)) return section.replace(format, line);
  return section.replace(new RegExp(`^a=rtpmap:${type} .*\\r\\n`, 'm'), (map) => map + line);
}
