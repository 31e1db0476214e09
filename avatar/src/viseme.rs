//! The forms of the mouth that can be told apart, and the sounds of speech that go with them.

/// The form of the mouth for a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viseme {
    /// Nobody speaks.
    Rest,
    /// The lips are closed: m, b, p.
    Closed,
    /// The lower lip is at the teeth: f, v.
    Teeth,
    /// Hardly open: consonants of tongue and throat.
    Narrow,
    /// Wide open: a.
    Open,
    /// The lips are wide: e, i.
    Wide,
    /// The lips are round: o, u.
    Round,
    /// Vowels without a form of their own.
    Neutral,
}

/// Sounds that have similar audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Pause,
    OpenVowel,
    FrontVowel,
    BackVowel,
    CentralVowel,
    LipNasal,
    LipStop,
    LipFricative,
    Sibilant,
    Stop,
    Nasal,
    Fricative,
    Approximant,
}

/// One sound of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sound {
    pub class: Class,
    /// How long it is, beside others of its class.
    pub length: f32,
}

impl Class {
    /// Of a letter of the International Phonetic Alphabet; None: a mark or an unknown letter.
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'a' | 'ɑ' | 'æ' | 'ɐ' | 'ʌ' | 'ɒ' => Self::OpenVowel,
            'i' | 'ɪ' | 'e' | 'ɛ' | 'y' | 'ʏ' | 'ø' | 'œ' => Self::FrontVowel,
            'u' | 'ʊ' | 'o' | 'ɔ' | 'ɵ' | 'ɤ' | 'ɯ' => Self::BackVowel,
            'ə' | 'ɜ' | 'ɚ' | 'ɝ' | 'ɘ' | 'ɨ' => Self::CentralVowel,
            'm' => Self::LipNasal,
            'b' | 'p' => Self::LipStop,
            'f' | 'v' | 'ɱ' => Self::LipFricative,
            's' | 'z' | 'ʃ' | 'ʒ' | 'ɕ' | 'ʑ' | 'ʂ' | 'ʐ' => Self::Sibilant,
            't' | 'd' | 'k' | 'ɡ' | 'g' | 'q' | 'c' | 'ɟ' | 'ʔ' | 'ɖ' | 'ʈ' => Self::Stop,
            'n' | 'ŋ' | 'ɲ' | 'ɳ' => Self::Nasal,
            'θ' | 'ð' | 'x' | 'ɣ' | 'h' | 'ç' | 'χ' | 'ħ' | 'ʁ' | 'ɦ' => Self::Fricative,
            'l' | 'r' | 'ɹ' | 'w' | 'j' | 'ɥ' | 'ɾ' | 'ʀ' | 'ɻ' | 'ɭ' | 'ʎ' | 'ɫ' => Self::Approximant,
            _ => return None,
        })
    }

    pub fn is_vowel(self) -> bool {
        matches!(
            self,
            Self::OpenVowel | Self::FrontVowel | Self::BackVowel | Self::CentralVowel
        )
    }

    pub fn viseme(self) -> Viseme {
        match self {
            Self::Pause => Viseme::Rest,
            Self::OpenVowel => Viseme::Open,
            Self::FrontVowel => Viseme::Wide,
            Self::BackVowel => Viseme::Round,
            Self::CentralVowel => Viseme::Neutral,
            Self::LipNasal | Self::LipStop => Viseme::Closed,
            Self::LipFricative => Viseme::Teeth,
            Self::Sibilant | Self::Stop | Self::Nasal | Self::Fricative | Self::Approximant => Viseme::Narrow,
        }
    }
}

/// The sounds of a text in the International Phonetic Alphabet, as `espeak-ng --ipa --sep=_` writes it: a line for each clause, `_` between
/// phonemes. Names of languages in parentheses are no sounds.
pub fn sounds(ipa: &str) -> Vec<Sound> {
    let mut sounds = Vec::new();
    for clause in ipa.lines() {
        if !sounds.is_empty() {
            sounds.push(Sound {
                class: Class::Pause,
                length: 1.0,
            });
        }
        let mut is_name = false;
        let spoken: String = clause
            .chars()
            .filter(|letter| {
                is_name |= *letter == '(';
                let keep = !is_name;
                is_name &= *letter != ')';
                keep
            })
            .collect();
        for phoneme in spoken.split(|letter: char| letter == '_' || letter.is_whitespace()) {
            let classes: Vec<Class> = phoneme.chars().filter_map(Class::of).collect();
            let vowels = classes.iter().filter(|class| class.is_vowel()).count();
            let stressed = if phoneme.contains(['ˈ', 'ˌ']) { 1.3 } else { 1.0 };
            let long = if phoneme.contains('ː') { 1.4 } else { 1.0 };
            // Both parts of a diphthong are shorter.
            let shared = if vowels > 1 { 0.75 } else { 1.0 };
            sounds.extend(classes.into_iter().map(|class| Sound {
                class,
                length: if class.is_vowel() {
                    stressed * long * shared
                } else {
                    1.0
                },
            }));
        }
    }
    while sounds.last().is_some_and(|last| last.class == Class::Pause) {
        sounds.pop();
    }
    sounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visemes(ipa: &str) -> Vec<Viseme> {
        sounds(ipa).iter().map(|sound| sound.class.viseme()).collect()
    }

    #[test]
    fn lips_are_closed_for_m_b_and_p_and_round_for_o() {
        use Viseme::{Closed, Narrow, Neutral, Open, Rest, Round};
        assert_eq!(
            visemes("m_ˈa_m_ɐ b_ˈəʊ"),
            [Closed, Open, Closed, Open, Closed, Neutral, Round]
        );
        assert_eq!(visemes("h_a_ɪ\n_p_\n"), [Narrow, Open, Viseme::Wide, Rest, Closed]);
    }

    #[test]
    fn names_of_languages_tones_and_unknown_letters_are_no_sounds() {
        assert_eq!(visemes("(en)_m_(cmn)_☃_5"), [Viseme::Closed]);
        assert_eq!(visemes(""), []);
        assert_eq!(visemes("(never closed m_m"), []);
    }

    #[test]
    fn stressed_and_long_vowels_are_longer() {
        let [short, long] = [sounds("a")[0].length, sounds("ˈaː")[0].length];
        assert!(long > 1.5 * short);
    }
}
