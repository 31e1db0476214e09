//! Cuts text into sentences as it comes, so that the first is spoken while the rest is still being written. Sans-IO.

/// A sentence without an end is cut at a space after so many characters, or anywhere after twice as many.
const LONG: usize = 200;

/// Where sentences end, whatever follows.
const ENDS: [char; 8] = ['。', '！', '？', '；', '\n', '…', '।', '؟'];
/// Where they end when a space or the end follows.
const ENDS_BEFORE_SPACE: [char; 4] = ['.', '!', '?', ';'];

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Sentences {
    text: String,
}

impl Sentences {
    pub fn handle_text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The next whole sentence.
    pub fn poll_sentence(&mut self) -> Option<String> {
        loop {
            let end = self.end()?;
            let sentence: String = self.text.drain(..end).collect();
            if let Some(sentence) = spoken(&sentence) {
                return Some(sentence);
            }
        }
    }

    /// The last sentence. Call it after the end of the text.
    pub fn finish(&mut self) -> Option<String> {
        spoken(&std::mem::take(&mut self.text))
    }

    /// The byte behind the first sentence.
    fn end(&self) -> Option<usize> {
        let mut characters = self.text.char_indices().enumerate().peekable();
        let mut last_space = None;
        while let Some((count, (at, character))) = characters.next() {
            let behind = at + character.len_utf8();
            if ENDS.contains(&character) {
                return Some(behind);
            }
            let next = characters.peek().map(|(_, (_, next))| *next);
            if ENDS_BEFORE_SPACE.contains(&character) && next.is_some_and(char::is_whitespace) {
                return Some(behind);
            }
            if character.is_whitespace() {
                last_space = Some(behind);
            }
            match last_space {
                Some(space) if count >= LONG => return Some(space),
                None if count >= 2 * LONG => return Some(behind),
                _ => {}
            }
        }
        None
    }
}

/// All sentences of a whole text.
pub fn sentences(text: &str) -> Vec<String> {
    let mut cutter = Sentences::default();
    cutter.handle_text(text);
    let mut all: Vec<String> = std::iter::from_fn(|| cutter.poll_sentence()).collect();
    all.extend(cutter.finish());
    all
}

/// Without outer spaces; None where there is nothing to say.
fn spoken(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars().any(char::is_alphanumeric).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_behind_its_sentences() {
        assert_eq!(
            sentences("Hello. It is 3.5 degrees! Really?\nYes; no. ..."),
            ["Hello.", "It is 3.5 degrees!", "Really?", "Yes;", "no."]
        );
        assert_eq!(sentences("你好。今天怎么样？很好"), ["你好。", "今天怎么样？", "很好"]);
        assert_eq!(sentences(" \n "), [] as [&str; 0]);
    }

    #[test]
    fn a_sentence_is_there_as_soon_as_the_next_character_came() {
        let mut cutter = Sentences::default();
        cutter.handle_text("Hello the");
        assert_eq!(cutter.poll_sentence(), None);
        cutter.handle_text("re.");
        assert_eq!(cutter.poll_sentence(), None, "it may be 3.5");
        cutter.handle_text(" And");
        assert_eq!(cutter.poll_sentence().as_deref(), Some("Hello there."));
        assert_eq!(cutter.finish().as_deref(), Some("And"));
    }

    #[test]
    fn what_has_no_end_is_cut_at_a_space() {
        let long = "word ".repeat(100);
        let cut = sentences(&long);
        assert!(cut.len() > 1 && cut.iter().all(|sentence| sentence.len() <= LONG));
        assert!(
            sentences(&"x".repeat(1000))
                .iter()
                .all(|sentence| sentence.len() <= 2 * LONG + 1)
        );
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_however_text_comes(text in "\\PC{0,300}", cut in 0_usize..300) {
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let mut cutter = Sentences::default();
            let at = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
            let mut said = String::new();
            for part in [&text[..at], &text[at..]] {
                cutter.handle_text(part);
                said.extend(std::iter::from_fn(|| cutter.poll_sentence()));
            }
            said.extend(cutter.finish());
            prop_assert_eq!(letters(&said), letters(&text));
        }
    }
}
