// Firefox beside Chromium: runs firefox_room.mjs and firefox_pages.mjs in a network namespace.

import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { FIREFOX } from './firefox.mjs';
import { noOwnNetwork, runOnOwnNetwork } from './own_network.mjs';
import { cannotRun } from './support.mjs';

/** A reason to skip, or undefined. CI installs Firefox, so nothing is skipped there. */
function noFirefox() {
  if (existsSync(FIREFOX)) return undefined;
  if (process.env.CI) throw new Error(`CI must have Firefox at ${FIREFOX}`);
  const reason = `SKIPPED: no Firefox at ${FIREFOX} (\`make setup\` installs it)`;
  console.error(reason);
  return reason;
}

test('a Firefox and a Chromium in one room', { skip: cannotRun() ?? noFirefox() ?? noOwnNetwork() }, () => (
  runOnOwnNetwork('./firefox_room.mjs')
));

test('calls and the console in Firefox', { skip: cannotRun() ?? noFirefox() ?? noOwnNetwork() }, () => (
  runOnOwnNetwork('./firefox_pages.mjs')
));
