//! Names the track whose frame an engine is decoding, in memory that outlives the engine: decoders read what members send, and the one
//! that ends or stops its engine is the one that was at work.
//!
//! The memory is a file without a name. The host makes it, and an engine writes to it before and after each frame.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rotunda_proto::ids::Source;
use rustix::fs::{MemfdFlags, memfd_create};

/// The number of the frame, the length of the name, and the name as JSON: room and user ids have at most 64 letters.
const BLOCK: usize = 512;
const NUMBER: usize = 4;
const HEAD: usize = NUMBER + 2;

/// See the [module](self).
#[derive(Debug)]
pub struct Suspect {
    file: File,
    /// Of the last frame, in the engine.
    number: u32,
}

/// What an engine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// Another one with each frame, and after it.
    pub number: u32,
    /// The track whose frame is being decoded.
    pub track: Option<Source>,
}

impl Suspect {
    /// Errors: of the file.
    pub fn new() -> io::Result<Self> {
        let mut file = File::from(memfd_create("mix suspect", MemfdFlags::CLOEXEC)?);
        file.set_len(BLOCK as u64)?;
        // An engine has it as its standard output: whatever is printed there comes after the name.
        file.seek(SeekFrom::Start(BLOCK as u64))?;
        Ok(Self { file, number: 0 })
    }

    /// Errors: of the descriptor.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            number: self.number,
        })
    }

    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self {
            file: File::from(descriptor),
            number: 0,
        }
    }

    pub fn into_descriptor(self) -> OwnedFd {
        self.file.into()
    }

    /// The engine: a frame of this track is decoded now; `None`: no more.
    pub fn set(&mut self, track: Option<&Source>) {
        self.number = self.number.wrapping_add(1);
        let mut block = vec![0; HEAD];
        let named = track.is_some_and(|track| serde_json::to_writer(&mut block, track).is_ok());
        if !named || block.len() > BLOCK {
            block.truncate(HEAD);
        }
        let length = (block.len() - HEAD) as u16;
        block[..NUMBER].copy_from_slice(&self.number.to_le_bytes());
        block[NUMBER..HEAD].copy_from_slice(&length.to_le_bytes());
        // Without it a crash names nobody, and the mix goes on all the same.
        let _written_or_unnamed = self.file.write_all_at(&block, 0);
    }

    /// The host: what the engine is doing, or was doing when it ended.
    pub fn get(&self) -> Doing {
        let mut block = [0; BLOCK];
        let read = self.file.read_exact_at(&mut block, 0);
        let number = block.first_chunk().map_or(0, |number| u32::from_le_bytes(*number));
        let track = || {
            let (length, name) = block.get(NUMBER..)?.split_first_chunk()?;
            serde_json::from_slice(name.get(..usize::from(u16::from_le_bytes(*length)))?).ok()
        };
        Doing {
            number,
            track: read.ok().and_then(|()| track()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rotunda_proto::ids::TrackSource;

    use super::*;
    use crate::test_ids::member;

    #[test]
    fn the_host_reads_the_track_that_the_engine_has_named_last_whatever_is_printed() {
        let host = Suspect::new().unwrap();
        assert_eq!(host.get(), Doing { number: 0, track: None });
        let mut engine = Suspect::from_descriptor(host.share().unwrap().into_descriptor());
        for user in ["a".to_owned(), "b".repeat(32), "c".to_owned()] {
            let track = member(&user).track(TrackSource::Screen);
            engine.set(Some(&track));
            (&engine.file).write_all(b"a line of a library").unwrap();
            assert_eq!(host.get().track, Some(track));
        }
        engine.set(None);
        assert_eq!(host.get(), Doing { number: 4, track: None });
    }
}
