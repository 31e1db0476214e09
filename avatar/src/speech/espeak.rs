//! espeak-ng as a process of its own: text to its standard input, WAV from its standard output.

use std::io::ErrorKind;
use std::process::Stdio;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Converter, Sink, Speech, SpeechError};

const PROGRAM: &str = "espeak-ng";
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
}

#[async_trait]
impl Speech for Espeak {
    async fn check(&self) -> Result<(), SpeechError> {
        let mut child = self.start(&["--version"])?;
        child.wait().await.map_err(SpeechError::Process)?;
        Ok(())
    }

    async fn speak(&self, text: &str, sink: &mut Sink<'_>) -> Result<(), SpeechError> {
        // On standard input a text that begins with a dash is no option.
        let mut child = self.start(&["--stdin", "-b", "1", "--stdout"])?;
        let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let text = text.as_bytes();
        let write = async move {
            if let Some(mut input) = input {
                // A process that ends early says why on its standard error.
                let _ended = input.write_all(text).await;
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
        let mut converter = Converter::new(RATE);
        let read = async {
            let Some(mut output) = output else {
                return Ok::<bool, SpeechError>(true);
            };
            let mut buffer = vec![0; 8192];
            loop {
                let length = output.read(&mut buffer).await.map_err(SpeechError::Process)?;
                if length == 0 {
                    return Ok(true);
                }
                if !converter.handle_bytes(&buffer[..length], sink)? {
                    return Ok(false);
                }
            }
        };
        let ((), said, wanted) = tokio::join!(write, listen, read);
        if !wanted? {
            return Ok(());
        }
        let status = child.wait().await.map_err(SpeechError::Process)?;
        if !status.success() {
            return Err(SpeechError::Espeak(said.trim().to_owned()));
        }
        converter.finish(sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn speak(voice: &str, text: &str) -> Result<Vec<i16>, SpeechError> {
        let mut pcm = Vec::new();
        let espeak = Espeak::new(voice.to_owned());
        espeak
            .speak(text, &mut |samples: &[i16]| {
                pcm.extend_from_slice(samples);
                true
            })
            .await?;
        Ok(pcm)
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
