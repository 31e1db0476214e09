// Builds the npm packages in packages/: `sdk` (@rotunda/sdk), `call` (@rotunda/call) and `trtc-compat` (@rotunda/trtc-compat).

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const web = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(`${web}package.json`, 'utf8'));

const packages = {
  sdk: {
    guide: 'sdk.md',
    description: 'Web SDK of Rotunda: rooms with real-time audio and video',
    entries: { index: 'sdk/index', 'e2ee/index': 'e2ee/index', 'whip/index': 'whip/index', 'frame-data/index': 'frame_data/index' },
  },
  call: {
    guide: 'calls.md',
    description: 'Calls on a Rotunda server: the component <rotunda-call>, and an engine without a user interface',
    entries: { index: 'call/index' },
  },
  'trtc-compat': {
    guide: 'moving-from-trtc.md',
    description: "The shape of TRTC's web SDK (version 5) on a Rotunda server",
    entries: { index: 'trtc-compat/index', 'plugins/cdn-streaming/index': 'trtc-compat/cdn_streaming_plugin' },
  },
};

rmSync(`${web}packages`, { recursive: true, force: true });
execFileSync('npx', ['tsc', '-p', 'tsconfig.packages.json'], { cwd: web, stdio: 'inherit' });
for (const [name, { description, entries, guide }] of Object.entries(packages)) {
  const folder = `${web}packages/${name}`;
  await build({
    root: web,
    base: './',
    worker: { format: 'es' },
    configFile: false,
    logLevel: 'warn',
    build: {
      outDir: folder,
      emptyOutDir: false,
      target: 'es2022',
      assetsInlineLimit: 0,
      lib: { entry: Object.fromEntries(Object.entries(entries).map(([to, from]) => [to, `src/${from}.ts`])), formats: ['es'] },
    },
  });
  mkdirSync(folder, { recursive: true });
  documents(folder, guide);
  cpSync(`${web}packages/types`, `${folder}/types`, { recursive: true });
  const exported = Object.fromEntries(Object.entries(entries).map(([to, from]) => {
    const path = to === 'index' ? '.' : `./${to.replace(/\/index$/, '')}`;
    return [path, { types: `./types/${from}.d.ts`, default: `./${to}.js` }];
  }));
  writeFileSync(`${folder}/package.json`, `${JSON.stringify({
    name: `@rotunda/${name}`, version, description, license: 'MIT OR Apache-2.0', type: 'module',
    // The import of the component defines its element.
    sideEffects: name === 'call',
    main: './index.js', types: exported['.'].types, exports: exported,
  }, undefined, 2)}\n`);
}
rmSync(`${web}packages/types`, { recursive: true });

/** The guide is the package's README. Its links lead to other files of the repository. */
function documents(folder, guide) {
  for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) cpSync(`${web}../${licence}`, `${folder}/${licence}`);
  writeFileSync(`${folder}/README.md`, readFileSync(`${web}../docs/${guide}`, 'utf8').replace(/\]\((?!http)[^)]*\.md[^)]*\)/g, ']'));
}
