//! Byte streams in memory in place of TCP connections. Bytes arrive after a delay, in order.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::serve::Listener;
use bytes::{Buf, Bytes};
use rotunda_proto::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep_until};

/// One direction of a stream.
#[derive(Default)]
struct Lane {
    /// Bytes with the time of their arrival.
    flying: VecDeque<(Instant, Bytes)>,
    is_closed: bool,
    reader: Option<Waker>,
}

/// An end of a stream. A drop closes both directions.
pub struct Stream {
    delay: Duration,
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
    arrival: Option<Pin<Box<Sleep>>>,
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// Both ends. `delay`: one way.
    pub fn pair(delay: Duration) -> (Self, Self) {
        let (one, two) = (Arc::<Mutex<Lane>>::default(), Arc::<Mutex<Lane>>::default());
        let end = |incoming: &Arc<Mutex<Lane>>, outgoing: &Arc<Mutex<Lane>>| Self {
            delay,
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(outgoing),
            arrival: None,
        };
        (end(&one, &two), end(&two, &one))
    }

    fn close(lane: &Mutex<Lane>) {
        let mut lane = lock(lane);
        lane.is_closed = true;
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut lane = lock(&self.incoming);
            let Some((at, bytes)) = lane.flying.front_mut() else {
                if lane.is_closed {
                    return Poll::Ready(Ok(()));
                }
                lane.reader = Some(context.waker().clone());
                return Poll::Pending;
            };
            let at = *at;
            if at <= Clock.now() {
                let count = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..count]);
                bytes.advance(count);
                if bytes.is_empty() {
                    lane.flying.pop_front();
                }
                return Poll::Ready(Ok(()));
            }
            drop(lane);
            let arrival = self.arrival.insert(Box::pin(sleep_until(at.into())));
            if arrival.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = lock(&self.outgoing);
        if lane.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let at = Clock.now() + self.delay;
        lane.flying.push_back((at, Bytes::copy_from_slice(bytes)));
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::close(&self.outgoing);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        Self::close(&self.outgoing);
        Self::close(&self.incoming);
    }
}

/// Where clients connect to one server.
#[derive(Clone)]
pub struct Door {
    delay: Duration,
    connections: mpsc::UnboundedSender<Stream>,
}

/// The server's end of a [`Door`].
pub struct Connections(mpsc::UnboundedReceiver<Stream>);

impl Door {
    /// `delay`: one way.
    pub fn new(delay: Duration) -> (Self, Connections) {
        let (connections, incoming) = mpsc::unbounded_channel();
        (Self { delay, connections }, Connections(incoming))
    }

    pub fn connect(&self) -> Stream {
        let (client, server) = Stream::pair(self.delay);
        // Without a server the client finds its stream closed.
        let _closed = self.connections.send(server);
        client
    }
}

impl Listener for Connections {
    type Io = Stream;
    type Addr = ();

    async fn accept(&mut self) -> (Stream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
