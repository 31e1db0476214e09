// The code in docs/sdk.md is type-checked, and its first block is an example.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const guide = readFileSync(path('../../../docs/sdk.md'), 'utf8');
const blocks = [...guide.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code = '']) => code);

/** The declarations that the blocks need. */
const given = `
  import { Credentials, LocalMedia, Room, Voices, attach, canSetOutput } from '@rotunda/sdk';
  import { Encryption } from '@rotunda/sdk/e2ee';
  import { play, publish } from '@rotunda/sdk/whip';
  import { FrameData } from '@rotunda/sdk/frame-data';
  declare const credentials: Credentials, url: string, room: Room, media: LocalMedia, deviceId: string, roomKey: ArrayBuffer, token: string;
  declare function show(text: string): void;
  declare function blurred(camera: MediaStreamTrack): Promise<{ track: MediaStreamTrack; stop: () => void }>;
  declare function button(text: string, action: () => void): void;
`;

test('every block compiles', () => {
  const sources = Object.fromEntries(blocks.map((block, index) => {
    const code = block.replace(/^import .*\n/gm, '');
    return [path(`./block-${index}.ts`), `${given}\nexport async function block() {\n${code}\nvoid attach;\n}\n`];
  }));
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, strict: true,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'], skipLibCheck: true, noEmit: true, types: [],
    paths: { '@rotunda/sdk': [path('./index.ts')], '@rotunda/sdk/e2ee': [path('../e2ee/index.ts')], '@rotunda/sdk/whip': [path('../whip/index.ts')], '@rotunda/sdk/frame-data': [path('../frame_data/index.ts')] },
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (name, ...rest) => {
    const text = sources[name];
    return text === undefined ? getSourceFile.call(host, name, ...rest) : ts.createSourceFile(name, text, ts.ScriptTarget.ES2022);
  };
  const program = ts.createProgram(Object.keys(sources), options, host);
  const messages = Object.keys(sources).flatMap((name) => {
    const file = program.getSourceFile(name);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
      .map(({ messageText }) => `${sources[name] ?? ''}\n${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
  });
  expect(messages).toEqual([]);
  expect(blocks.length).toBeGreaterThan(4);
}, 120_000);

test('the first block is the first example', () => {
  const code = (text: string) => text.replace(/^(\/\/|import ).*\n/gm, '').replace("await ticketOf('ann')", 'credentials').replace('credentials: credentials', 'credentials').trim();
  expect(code(readFileSync(path('../../examples/plain/first.ts'), 'utf8'))).toBe(code(blocks[0] ?? ''));
});
