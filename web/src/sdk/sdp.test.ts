import { expect, test } from 'vitest';

import { askForSoundAgain } from './sdp';

const offer = 'm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n'
  + 'a=rtpmap:63 red/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n';

test('lost sound is asked for, and nothing else is changed', () => {
  const asked = askForSoundAgain(offer);
  expect(asked).toContain('a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 nack\r\n');
  expect(asked.replace('a=rtcp-fb:111 nack\r\n', '')).toBe(offer);
});

test('an offer that asks already stays as it is', () => {
  const asked = askForSoundAgain(offer);
  expect(askForSoundAgain(asked)).toBe(asked);
});
