// Firefox ESR without a screen, driven by WebDriver BiDi.

import puppeteer from 'puppeteer-core';

export const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/** Its microphone gives a tone of so many hertz; its own camera is not of use to tests. */
export function startFirefox(tone) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: {
      // Sound and pictures play, and are made, without a gesture.
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'media.navigator.permission.disabled': true,
      'media.navigator.streams.fake': true,
      'media.navigator.audio.fake_frequency': tone,
      // No download of OpenH264.
      'media.gmp-manager.updateEnabled': false,
      // Timers of a page that is not in front are not slowed down.
      'dom.min_background_timeout_value': 4,
    },
  });
}
