//! A connection's bytes, with or without TLS, with an idle limit.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::admission::Place;

/// An open connection. Reading and writing fail with [`io::ErrorKind::TimedOut`] when the peer has not sent its
/// first request in time, or no byte has moved for the idle time.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    place: Arc<Place>,
    listener: &'static str,
    /// Until then the connection must be [established](Stream::establish).
    established_by: Instant,
    idle: Duration,
    moved_at: Instant,
    /// Since when bytes wait that the peer does not take.
    blocked_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub established_by: Instant,
    pub idle: Duration,
}

impl Stream {
    pub(crate) fn plain(socket: TcpStream, place: Arc<Place>, listener: &'static str, patience: Patience) -> Self {
        Self::new(Inner::Plain(socket), place, listener, patience)
    }

    pub(crate) fn tls(
        socket: TlsStream<TcpStream>,
        place: Arc<Place>,
        listener: &'static str,
        patience: Patience,
    ) -> Self {
        Self::new(Inner::Tls(Box::new(socket)), place, listener, patience)
    }

    fn new(inner: Inner, place: Arc<Place>, listener: &'static str, patience: Patience) -> Self {
        Self {
            inner,
            place,
            listener,
            established_by: patience.established_by,
            idle: patience.idle,
            moved_at: Clock.now(),
            blocked_since: None,
            timer: None,
        }
    }

    /// The peer has sent its first request: from now on only silence ends the connection.
    pub fn establish(&self) {
        self.place.establish();
    }

    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    fn over_at(&self) -> Instant {
        let over_at = match self.place.is_established() {
            true => self.moved_at + self.idle,
            false => self.established_by,
        };
        match (self.blocked_since, self.place.stall_limit()) {
            (Some(since), Some(limit)) => over_at.min(since + limit),
            _ => over_at,
        }
    }

    /// The timeout error, when no byte moves and the time is over.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            let over_at = self.over_at();
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(over_at.into())));
            // The deadline moves closer when the connection is established, and when its peer takes no more bytes. Otherwise it
            // only moves away, and is checked when the timer fires.
            if timer.deadline() > over_at.into() {
                timer.as_mut().reset(over_at.into());
            }
            std::task::ready!(timer.as_mut().poll(context));
            if Clock.now() >= over_at {
                counter!("rotunda_listener_timeouts_total", "listener" => self.listener).increment(1);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(over_at.into());
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = match &mut this.inner {
            Inner::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Inner::Tls(socket) => Pin::new(socket).poll_read(context, buffer),
        };
        match read {
            Poll::Ready(read) => {
                this.moved_at = Clock.now();
                Poll::Ready(read)
            }
            Poll::Pending => this.wait(context),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.inner {
            Inner::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Inner::Tls(socket) => Pin::new(socket).poll_write(context, bytes),
        };
        this.written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.inner {
            Inner::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Inner::Tls(socket) => Pin::new(socket).poll_write_vectored(context, slices),
        };
        this.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(socket) => socket.is_write_vectored(),
            Inner::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match &mut this.inner {
            Inner::Plain(socket) => Pin::new(socket).poll_flush(context),
            Inner::Tls(socket) => Pin::new(socket).poll_flush(context),
        };
        match flushed {
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => this.wait(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = match &mut this.inner {
            Inner::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Inner::Tls(socket) => Pin::new(socket).poll_shutdown(context),
        };
        match shut {
            Poll::Ready(shut) => Poll::Ready(shut),
            Poll::Pending => this.wait(context),
        }
    }
}

impl Stream {
    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.moved_at = Clock.now();
                self.blocked_since = None;
                Poll::Ready(written)
            }
            Poll::Pending => {
                self.blocked_since.get_or_insert_with(|| Clock.now());
                self.wait(context)
            }
        }
    }
}
