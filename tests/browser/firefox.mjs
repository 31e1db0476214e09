// Headless Firefox ESR, driven by WebDriver BiDi.

import puppeteer from 'puppeteer-core';

export const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/** Its microphone gives a tone of this frequency in hertz; tests do not use its fake camera. */
export function startFirefox(tone) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: {
      // Audio and video play, and can be captured, without a user gesture.
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'media.navigator.permission.disabled': true,
      'media.navigator.streams.fake': true,
      'media.navigator.audio.fake_frequency': tone,
      // No download of OpenH264.
      'media.gmp-manager.updateEnabled': false,
      // Timers of a background page are not throttled.
      'dom.min_background_timeout_value': 4,
    },
  });
}
