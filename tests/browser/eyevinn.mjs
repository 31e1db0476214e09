// Third-party WHIP and WHEP clients, as one script for a page: `eyevinn.WHIPClient` and `eyevinn.WebRTCPlayer`.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export async function eyevinnScript() {
  const { outputFiles } = await build({
    stdin: {
      contents: `export { WHIPClient } from '@eyevinn/whip-web-client'; export { WebRTCPlayer } from '@eyevinn/webrtc-player';`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'eyevinn',
    platform: 'browser',
    mainFields: ['browser', 'main'],
    logLevel: 'error',
  });
  return outputFiles[0].text;
}
