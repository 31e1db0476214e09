// For the tests of texts.

/** Texts in which a counted word has only one form: it should be written as `{0|room|rooms}`. */
export function uncounted(texts: readonly string[]): string[] {
  const nouns = 'room|member|session|track|callback|stay|input|failure|minute|hour|day|second|message|file|recording|call|stream|node|mixe|gap|part|cell|device|viewer|person|people';
  const counted = new RegExp(`\\{\\d\\} (?:[a-z]+ )?(?:${nouns})s?\\b(?! \\{)`);
  return texts.filter((text) => counted.test(text));
}
