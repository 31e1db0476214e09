//! A face that another program renders: 20 ms of PCM in, I420 frames out, over the program's standard streams or a Unix socket.
//!
//! The protocol is in `docs/avatar.md`: one line of JSON to the renderer, one frame from it when it is ready. Then 640 bytes of PCM every
//! 20 ms, and a frame after every second piece. The frames are counted, so each is known to belong to its audio.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use metrics::counter;
use rotunda_media::video_frame::VideoFrame;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tracing::warn;

use super::FRAMES_A_SECOND;
use crate::audio::{PIECE, RATE};
use crate::session::Piece;

/// Pieces that a renderer may not have read yet: one second.
const PIECES: usize = 50;
/// Frames that wait for their time.
const FRAMES: usize = 64;
/// A frame that is later than this is not worth showing any more: half a second.
const STALE: u64 = 12;
/// After so many late frames in a row the renderer is given up: two seconds.
const GIVE_UP: u64 = 50;
/// Pieces after which it is started again: 5 s.
const AGAIN: u64 = 250;
/// Pieces in which it must be ready: two minutes, for models that are loaded.
const READY_WITHIN: u64 = 6000;
/// A renderer that is ready and has got no audio yet.
const NOT_FED: u64 = u64::MAX;

#[derive(Debug, Clone)]
pub struct RendererConfig {
    /// Program and arguments; empty: the socket.
    pub command: Vec<String>,
    pub socket: PathBuf,
    pub width: usize,
    pub height: usize,
}

/// See the [module](self).
pub struct Renderer {
    config: RendererConfig,
    runtime: Handle,
    link: Option<Link>,
    /// Pieces so far.
    fed: u64,
    /// The piece with which it is started (again).
    start_at: u64,
    frames: VecDeque<(u64, Vec<u8>)>,
    late: u64,
}

struct Link {
    pieces: Sender<[i16; PIECE]>,
    frames: Receiver<(u64, Vec<u8>)>,
    /// The piece with which it was started.
    started: u64,
    /// Number of the frame that belongs to the first audio that it got; None: it is not ready.
    base: Option<u64>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Renderer {
    pub fn new(config: RendererConfig, runtime: Handle) -> Self {
        Self {
            config,
            runtime,
            link: None,
            fed: 0,
            start_at: 0,
            frames: VecDeque::new(),
            late: 0,
        }
    }

    /// The next 20 ms; ahead of the frame that is asked for by the renderer's delay.
    pub fn feed(&mut self, piece: &Piece) {
        if self.link.is_none() && self.fed >= self.start_at && self.fed.is_multiple_of(2) {
            self.link = Some(self.start());
            self.late = 0;
        }
        self.collect();
        let number = self.fed;
        self.fed += 1;
        let Some(link) = &mut self.link else { return };
        if link.base.is_none() {
            if number - link.started > READY_WITHIN {
                self.give_up("it did not send its first frame within two minutes");
            }
            return;
        }
        if link.base == Some(NOT_FED) {
            if !number.is_multiple_of(2) {
                return;
            }
            link.base = Some(number / 2);
        }
        if link.pieces.try_send(piece.samples).is_err() {
            self.give_up("it has ended, or does not read its audio");
        }
    }

    /// Puts the frame with this number on the canvas, or one that is a little older. False: there is none; show something else.
    pub fn paint(&mut self, number: u64, canvas: &mut VideoFrame) -> bool {
        self.collect();
        while self.frames.get(1).is_some_and(|(next, _)| *next <= number) {
            self.frames.pop_front();
        }
        let front = self.frames.front().filter(|(known, _)| *known <= number);
        let lateness = front.map_or(u64::MAX, |(known, _)| number - known);
        match lateness {
            0 => self.late = 0,
            _ if self.expects(number) => {
                self.late += 1;
                counter!("rotunda_avatar_renderer_late_total").increment(1);
            }
            _ => {}
        }
        let shown = match front {
            Some((_, frame)) if lateness <= STALE => copy(frame, canvas),
            _ => false,
        };
        if self.late > GIVE_UP {
            self.give_up("it is too slow");
        }
        shown
    }

    /// Whether the renderer has got the audio of the frame with this number.
    fn expects(&self, number: u64) -> bool {
        let base = self.link.as_ref().and_then(|link| link.base);
        base.is_some_and(|base| base <= number)
    }

    fn collect(&mut self) {
        loop {
            let Some(link) = &mut self.link else { return };
            match link.frames.try_recv() {
                // The first says that it is ready.
                Ok((0, _)) => link.base = Some(NOT_FED),
                Ok((number, frame)) => {
                    let number = (number - 1).saturating_add(link.base.unwrap_or(NOT_FED));
                    self.frames.push_back((number, frame));
                    if self.frames.len() > FRAMES {
                        self.frames.pop_front();
                    }
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.give_up("it has ended");
                    return;
                }
            }
        }
    }

    fn give_up(&mut self, reason: &str) {
        if self.link.take().is_some() {
            warn!(reason, "the renderer is given up; it is started again in 5 s");
            counter!("rotunda_avatar_renderer_failures_total").increment(1);
        }
        self.start_at = self.fed + AGAIN;
        self.late = 0;
    }

    fn start(&self) -> Link {
        let (pieces, to_send) = mpsc::channel(PIECES);
        let (received, frames) = mpsc::channel(8);
        let config = self.config.clone();
        let task = self.runtime.spawn(async move {
            if let Err(error) = run(config, to_send, received).await {
                warn!(error = &error as &dyn std::error::Error, "the renderer failed");
            }
        });
        Link {
            pieces,
            frames,
            started: self.fed,
            base: None,
            task,
        }
    }
}

fn copy(frame: &[u8], canvas: &mut VideoFrame) -> bool {
    let luma = canvas.width() * canvas.height();
    if frame.len() != luma * 3 / 2 {
        return false;
    }
    let (y, chroma) = frame.split_at(luma);
    let (u, v) = chroma.split_at(luma / 4);
    for (to, from) in canvas.planes_mut().into_iter().zip([y, u, v]) {
        to.copy_from_slice(from);
    }
    true
}

async fn run(config: RendererConfig, pieces: Receiver<[i16; PIECE]>, frames: Sender<(u64, Vec<u8>)>) -> io::Result<()> {
    if config.command.is_empty() {
        let (read, write) = UnixStream::connect(&config.socket).await?.into_split();
        return exchange(&config, read, write, pieces, frames).await;
    }
    let [program, arguments @ ..] = config.command.as_slice() else {
        return Ok(());
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(());
    };
    exchange(&config, output, input, pieces, frames).await
}

/// Until one side ends.
async fn exchange(
    config: &RendererConfig,
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    mut pieces: Receiver<[i16; PIECE]>,
    frames: Sender<(u64, Vec<u8>)>,
) -> io::Result<()> {
    let (width, height) = (config.width, config.height);
    let hello = json!({
        "version": 1, "width": width, "height": height, "fps": FRAMES_A_SECOND, "sample_rate": RATE, "samples": PIECE,
    });
    let send = async {
        write.write_all(format!("{hello}\n").as_bytes()).await?;
        while let Some(piece) = pieces.recv().await {
            let bytes: Vec<u8> = piece.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            write.write_all(&bytes).await?;
            write.flush().await?;
        }
        Ok::<(), io::Error>(())
    };
    let receive = async {
        for number in 0.. {
            let mut frame = vec![0; width * height * 3 / 2];
            read.read_exact(&mut frame).await?;
            if frames.send((number, frame)).await.is_err() {
                break;
            }
        }
        Ok::<(), io::Error>(())
    };
    tokio::select! {
        sent = send => sent,
        received = receive => received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_media::video_frame::Yuv;
    use rotunda_proto::clock::Clock;
    use std::time::Duration;

    /// Frames of one grey, which is the high byte of the loudest sample of their 40 ms.
    const RENDERER: &str = "import json, sys, struct\n\
        h = json.loads(sys.stdin.buffer.readline())\n\
        size = h['width'] * h['height']\n\
        pcm = bytes(1280)\n\
        while len(pcm) == 1280:\n\
        \x20   grey = max(struct.unpack('<640h', pcm)) >> 7\n\
        \x20   sys.stdout.buffer.write(bytes([grey]) * size + bytes([128]) * (size // 2))\n\
        \x20   sys.stdout.buffer.flush()\n\
        \x20   pcm = sys.stdin.buffer.read(1280)\n";

    fn config(command: &[&str]) -> RendererConfig {
        RendererConfig {
            command: command.iter().map(ToString::to_string).collect(),
            socket: PathBuf::new(),
            width: 64,
            height: 64,
        }
    }

    fn piece(grey: i16) -> Piece {
        Piece {
            samples: [grey << 7; PIECE],
            is_speech: true,
            viseme: None,
        }
    }

    /// Until `check` is true, at most 10 s.
    async fn until(renderer: &mut Renderer, mut check: impl FnMut(&mut Renderer) -> bool) -> bool {
        let by = Clock.now() + Duration::from_secs(10);
        while Clock.now() < by {
            renderer.collect();
            renderer.late = 0;
            if check(renderer) {
                return true;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(5)).await;
        }
        false
    }

    fn is_ready(renderer: &mut Renderer) -> bool {
        renderer.link.as_ref().is_some_and(|link| link.base.is_some())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_frame_is_that_of_its_audio() {
        let mut renderer = Renderer::new(config(&["python3", "-c", RENDERER]), Handle::current());
        let mut canvas = VideoFrame::filled(64, 64, Yuv::BLACK);
        renderer.feed(&piece(99));
        assert!(until(&mut renderer, is_ready).await);
        // The piece before it was ready is not rendered, nor is half of a frame.
        for grey in [98, 10, 10, 20, 20, 30, 30] {
            renderer.feed(&piece(grey));
        }
        for (number, grey) in [(1, 10), (2, 20), (3, 30)] {
            let shown = until(&mut renderer, |renderer| {
                renderer.paint(number, &mut canvas) && renderer.frames.front().is_some_and(|(at, _)| *at == number)
            });
            assert!(shown.await, "frame {number}");
            assert_eq!(canvas.y()[0], grey);
        }
        // Later the newest one stays for half a second.
        assert!(renderer.paint(3 + STALE, &mut canvas));
        assert!(!renderer.paint(4 + STALE, &mut canvas));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_dies_is_given_up_and_started_again() {
        let mut renderer = Renderer::new(config(&["true"]), Handle::current());
        renderer.feed(&piece(1));
        assert!(until(&mut renderer, |renderer| renderer.link.is_none()).await);
        let (fed, start_at) = (renderer.fed, renderer.start_at);
        // The next one may die before anybody sees it alive: then it has been given up, too.
        while renderer.link.is_none() && renderer.start_at == start_at && renderer.fed < 1000 {
            renderer.feed(&piece(1));
        }
        assert!(renderer.fed.abs_diff(fed + AGAIN) <= 2, "{}", renderer.fed);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_makes_no_more_frames_is_given_up() {
        // It is ready, and does nothing more.
        let ready = "head -c 6144 /dev/zero; sleep 60";
        let mut renderer = Renderer::new(config(&["sh", "-c", ready]), Handle::current());
        let mut canvas = VideoFrame::filled(64, 64, Yuv::BLACK);
        renderer.feed(&piece(1));
        assert!(until(&mut renderer, is_ready).await);
        renderer.feed(&piece(1));
        for number in 1..=GIVE_UP + 1 {
            renderer.feed(&piece(1));
            renderer.feed(&piece(1));
            assert!(!renderer.paint(number, &mut canvas));
        }
        assert!(renderer.link.is_none());
    }
}
