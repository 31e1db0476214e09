//! espeak-ng as a process of its own: text to its standard input, WAV from its standard output. A second one tells the phonemes, whose places
//! are found in the audio ([`alignment`]).

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::alignment::align;
use super::{Converter, Sink, Speech, SpeechError};
use crate::viseme::{Viseme, sounds};

const PROGRAM: &str = "espeak-ng";
/// A sentence takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// Its voices' own rate; the header says it again.
const RATE: u32 = 22_050;
/// Characters of its complaint that are told.
const MOST_SAID: usize = 200;

/// See the [module](self).
pub struct Espeak {
    /// Empty: its default.
    voice: String,
}

impl Espeak {
    pub fn new(voice: String) -> Self {
        Self { voice }
    }

    fn start(&self, arguments: &[&str]) -> Result<Child, SpeechError> {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        if !self.voice.is_empty() {
            command.args(["-v", &self.voice]);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => SpeechError::NotInstalled,
                _ => SpeechError::Process(error),
            })
    }

    /// Runs it with a text on its standard input, and returns its standard output.
    async fn run(&self, arguments: &[&str], text: &str) -> Result<Vec<u8>, SpeechError> {
        // On standard input a text that begins with a dash is no option.
        let arguments: Vec<&str> = ["--stdin", "-b", "1"].iter().chain(arguments).copied().collect();
        let mut child = self.start(&arguments)?;
        let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async move {
            if let Some(mut input) = input {
                // A process that ends early says why on its standard error.
                let _ended = input.write_all(text.as_bytes()).await;
            }
        };
        let listen = async move {
            let mut said = Vec::new();
            if let Some(complaint) = complaint {
                let _cut = complaint.take(4096).read_to_end(&mut said).await;
            }
            String::from_utf8_lossy(&said)
                .chars()
                .take(MOST_SAID)
                .collect::<String>()
        };
        let read = async {
            let mut written = Vec::new();
            if let Some(mut output) = output {
                output.read_to_end(&mut written).await.map_err(SpeechError::Process)?;
            }
            Ok(written)
        };
        let ((), said, written) = tokio::join!(write, listen, read);
        let status = child.wait().await.map_err(SpeechError::Process)?;
        match status.success() {
            true => written,
            false => Err(SpeechError::Espeak(said.trim().to_owned())),
        }
    }
}

#[async_trait]
impl Speech for Espeak {
    async fn check(&self) -> Result<(), SpeechError> {
        let mut child = self.start(&["--version"])?;
        child.wait().await.map_err(SpeechError::Process)?;
        Ok(())
    }

    async fn speak(&self, text: &str, sink: &mut Sink<'_>) -> Result<(), SpeechError> {
        // It speaks a hundred times faster than one listens, so a whole sentence is there at once.
        let both = async {
            tokio::join!(
                self.run(&["--stdout"], text),
                self.run(&["-q", "--ipa", "--sep=_"], text)
            )
        };
        // Dropping them ends the processes.
        let (spoken, phonemes) = timeout(PATIENCE, both)
            .await
            .map_err(|_| SpeechError::Slow(PATIENCE.as_secs()))?;
        let mut pcm = Vec::new();
        let mut collect = |samples: &[i16], _| {
            pcm.extend_from_slice(samples);
            true
        };
        let mut converter = Converter::new(RATE);
        converter.handle_bytes(&spoken?, &mut collect)?;
        converter.finish(&mut collect)?;
        let ipa = match phonemes {
            Ok(ipa) => String::from_utf8_lossy(&ipa).into_owned(),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "phonemes are not known");
                String::new()
            }
        };
        let found = tokio::task::spawn_blocking(move || {
            let visemes = align(&pcm, &sounds(&ipa));
            (pcm, visemes)
        });
        let Ok((pcm, visemes)) = found.await else {
            return Err(SpeechError::Silent);
        };
        give(&pcm, visemes, sink);
        Ok(())
    }
}

fn give(pcm: &[i16], visemes: Option<Vec<(usize, Viseme)>>, sink: &mut Sink<'_>) {
    let Some(visemes) = visemes else {
        sink(pcm, None);
        return;
    };
    let mut from = 0;
    for (end, viseme) in visemes {
        if !sink(&pcm[from..end], Some(viseme)) {
            return;
        }
        from = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn speak(voice: &str, text: &str) -> Result<Vec<i16>, SpeechError> {
        Ok(speak_with_visemes(voice, text).await?.0)
    }

    async fn speak_with_visemes(voice: &str, text: &str) -> Result<(Vec<i16>, Vec<Option<Viseme>>), SpeechError> {
        let (mut pcm, mut visemes) = (Vec::new(), Vec::new());
        let espeak = Espeak::new(voice.to_owned());
        espeak
            .speak(text, &mut |samples: &[i16], viseme| {
                pcm.extend_from_slice(samples);
                visemes.push(viseme);
                true
            })
            .await?;
        Ok((pcm, visemes))
    }

    #[tokio::test]
    async fn the_phonemes_of_a_sentence_are_the_forms_of_the_mouth() {
        use Viseme::{Closed, Open, Rest};
        for voice in ["", "de"] {
            let (_, visemes) = speak_with_visemes(voice, "Mama, Papa.").await.unwrap();
            let closed = visemes.iter().filter(|viseme| **viseme == Some(Closed)).count();
            let open = visemes.iter().filter(|viseme| **viseme == Some(Open)).count();
            assert!(closed == 4 && open >= 3, "{voice}: {visemes:?}");
            assert_eq!(visemes.last(), Some(&Some(Rest)));
        }
    }

    #[tokio::test]
    async fn other_languages_have_visemes_too() {
        for (voice, text) in [
            ("cmn", "你好，欢迎来到我们的房间。"),
            ("fr", "Bonjour à tous."),
            ("ru", "Добрый день."),
        ] {
            let (_, visemes) = speak_with_visemes(voice, text).await.unwrap();
            assert!(
                visemes.len() > 6 && visemes.iter().all(Option::is_some),
                "{voice}: {visemes:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_sentence_becomes_audio_of_its_length() {
        let short = speak("", "Hello.").await.unwrap();
        let long = speak("", "Hello, this is a sentence of more than one second.")
            .await
            .unwrap();
        assert!(
            short.len() > 4000 && long.len() > 2 * short.len(),
            "{} {}",
            short.len(),
            long.len()
        );
        assert!(long.iter().any(|sample| sample.unsigned_abs() > 3000));
    }

    #[tokio::test]
    async fn text_is_never_an_option() {
        let dash = speak("", "--version is a word.").await.unwrap();
        assert!(dash.len() > 8000);
    }

    #[tokio::test]
    async fn a_voice_that_is_none_is_named() {
        let error = speak("zz-none", "Hello.").await.unwrap_err();
        assert!(
            matches!(&error, SpeechError::Espeak(said) if said.contains("voice")),
            "{error}"
        );
    }
}
