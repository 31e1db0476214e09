import { expect, test } from 'vitest';

import { askForAudioNack, askForStereo } from './sdp';

const offer = 'm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n'
  + 'a=rtpmap:63 red/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n';

test('adds NACK for audio, and changes nothing else', () => {
  const asked = askForAudioNack(offer);
  expect(asked).toContain('a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 nack\r\n');
  expect(asked.replace('a=rtcp-fb:111 nack\r\n', '')).toBe(offer);
});

test('does not change an offer that has it already', () => {
  const asked = askForAudioNack(offer);
  expect(askForAudioNack(asked)).toBe(asked);
});

const line = (direction: string, format: string) =>
  `m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=${direction}\r\na=rtpmap:111 opus/48000/2\r\n${format}`;
const format = (more = '') => `a=fmtp:111 minptime=10;useinbandfec=1${more}\r\n`;

test('receive lines ask for stereo, and the send line announces it if wanted', () => {
  const offer = `v=0\r\n${line('sendonly', format())}${line('recvonly', format())}`;
  expect(askForStereo(offer, false)).toBe(`v=0\r\n${line('sendonly', format())}${line('recvonly', format(';stereo=1'))}`);
  const both = askForStereo(offer, true);
  expect(both).toBe(`v=0\r\n${line('sendonly', format(';stereo=1;sprop-stereo=1'))}${line('recvonly', format(';stereo=1'))}`);
  expect(askForStereo(both, true)).toBe(both);
});

test('a line without Opus parameters gets them, and a line without Opus does not change', () => {
  expect(askForStereo(line('recvonly', ''), false)).toBe(line('recvonly', 'a=fmtp:111 stereo=1\r\n'));
  const other = 'm=audio 9 X 8\r\na=recvonly\r\na=rtpmap:8 PCMA/8000\r\n';
  expect(askForStereo(other, true)).toBe(other);
});
