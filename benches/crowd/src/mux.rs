//! Thousands of byte streams over one connection. Each behaves like its own stream and takes no file descriptor.
//!
//! A frame is its kind (1 byte), its stream (4) and the length of its data (4), big-endian. Streams share the
//! connection's send queue, [`MOST_WAITING`] bytes; when it is full, writers wait, as they would for a full socket.
//! The receive side is not bounded per stream: members read at once and send little.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::poll_fn;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// One side of a connection; it lasts as long as this value or one of its streams.
pub struct Mux {
    shared: Arc<Shared>,
}

/// One of the streams; dropping it notifies the other side.
pub struct Stream {
    id: u32,
    shared: Arc<Shared>,
}

impl Mux {
    /// Streams that the other side opens go to `opened`.
    pub fn start(socket: TcpStream, opened: mpsc::UnboundedSender<Stream>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let shared = Arc::new(Shared::default());
        let (reader, writer) = socket.into_split();
        tokio::spawn(write(writer, shared.clone()));
        let reading = shared.clone();
        tokio::spawn(async move {
            // In both cases the other side is gone.
            let _over = read(reader, &reading, &opened).await;
            reading.lock().end();
        });
        Ok(Self { shared })
    }

    /// Opens a stream; no other stream may have or have had this `id`.
    pub fn open(&self, id: u32) -> Stream {
        let mut state = self.shared.lock();
        state.inboxes.insert(id, Inbox::default());
        state.put(Kind::Open, id, &[]);
        Stream {
            id,
            shared: self.shared.clone(),
        }
    }
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    inboxes: HashMap<u32, Inbox>,
    /// Frames that wait to be written to the connection.
    outgoing: BytesMut,
    /// The waker of the task that writes to the connection.
    writer: Option<Waker>,
    /// Streams that wait for space in `outgoing`.
    waiting: Vec<Waker>,
    over: bool,
}

/// The data that has arrived for a stream.
#[derive(Default)]
struct Inbox {
    chunks: VecDeque<Bytes>,
    ended: bool,
    reader: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Data,
    Close,
}

impl Shared {
    /// A panic elsewhere does not make the state wrong: it is consistent between two frames.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, kind: Kind, id: u32, data: &[u8]) {
        self.outgoing.put_u8(kind as u8);
        self.outgoing.put_u32(id);
        // A write is never longer than MOST_DATA.
        self.outgoing.put_u32(data.len() as u32);
        self.outgoing.put_slice(data);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn handle(&mut self, kind: Kind, id: u32, data: Bytes) {
        let Some(inbox) = self.inboxes.get_mut(&id) else {
            return;
        };
        match kind {
            Kind::Data => inbox.chunks.push_back(data),
            Kind::Close => inbox.ended = true,
            Kind::Open => {}
        }
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
    }

    fn end(&mut self) {
        self.over = true;
        let readers = self.inboxes.values_mut().filter_map(|inbox| {
            inbox.ended = true;
            inbox.reader.take()
        });
        let readers: Vec<Waker> = readers.collect();
        let all = readers
            .into_iter()
            .chain(self.waiting.drain(..))
            .chain(self.writer.take());
        all.for_each(Waker::wake);
    }

    /// The next bytes for the connection; None: there will be no more.
    fn poll_outgoing(&mut self, context: &Context<'_>) -> Poll<Option<BytesMut>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.outgoing.is_empty() {
            self.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.waiting.drain(..).for_each(Waker::wake);
        Poll::Ready(Some(self.outgoing.split()))
    }
}

async fn write(mut socket: OwnedWriteHalf, shared: Arc<Shared>) {
    while let Some(frames) = poll_fn(|context| shared.lock().poll_outgoing(context)).await {
        if socket.write_all(&frames).await.is_err() {
            shared.lock().end();
        }
    }
}

async fn read(
    mut socket: OwnedReadHalf,
    shared: &Arc<Shared>,
    opened: &mpsc::UnboundedSender<Stream>,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some((kind, id, data)) = take_frame(&mut buffer)? {
            let mut state = shared.lock();
            if kind == Kind::Open {
                state.inboxes.insert(id, Inbox::default());
                drop(state);
                let shared = shared.clone();
                // Nobody accepts it: dropping it closes it.
                let _refused = opened.send(Stream { id, shared });
            } else {
                state.handle(kind, id, data);
            }
        }
        buffer.reserve(READ);
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The next complete frame in the buffer.
fn take_frame(buffer: &mut BytesMut) -> io::Result<Option<(Kind, u32, Bytes)>> {
    let mut header = buffer.as_ref();
    if header.len() < HEADER {
        return Ok(None);
    }
    let kind = match header.get_u8() {
        0 => Kind::Open,
        1 => Kind::Data,
        2 => Kind::Close,
        other => return Err(io::Error::other(format!("a frame of kind {other}"))),
    };
    let (id, length) = (header.get_u32(), header.get_u32() as usize);
    if header.len() < length {
        return Ok(None);
    }
    buffer.advance(HEADER);
    // A copy, so that unread data of a stream does not hold the whole buffer.
    let data = Bytes::copy_from_slice(&buffer[..length]);
    buffer.advance(length);
    Ok(Some((kind, id, data)))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        let Some(inbox) = state.inboxes.get_mut(&self.id) else {
            return Poll::Ready(Ok(()));
        };
        let Some(chunk) = inbox.chunks.front_mut() else {
            if inbox.ended {
                return Poll::Ready(Ok(()));
            }
            inbox.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let length = chunk.len().min(into.remaining());
        into.put_slice(&chunk.split_to(length));
        if chunk.is_empty() {
            inbox.chunks.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = ready!(self.poll_room(context))?;
        let data = &data[..data.len().min(MOST_DATA)];
        state.put(Kind::Data, self.id, data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = ready!(self.poll_room(context))?;
        let mut data = parts.iter().flat_map(|part| part.iter().copied());
        let data: Vec<u8> = data.by_ref().take(MOST_DATA).collect();
        state.put(Kind::Data, self.id, &data);
        Poll::Ready(Ok(data.len()))
    }

    /// Like a TCP socket, so that hyper treats it like one.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().put(Kind::Close, self.id, &[]);
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    fn poll_room(&self, context: &Context<'_>) -> Poll<io::Result<MutexGuard<'_, State>>> {
        let mut state = self.shared.lock();
        if state.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.outgoing.len() >= MOST_WAITING {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(state))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.inboxes.remove(&self.id);
        state.put(Kind::Close, self.id, &[]);
    }
}

const HEADER: usize = 9;
const READ: usize = 64 * 1024;
const MOST_DATA: usize = 64 * 1024;
const MOST_WAITING: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Both sides of a connection, and the streams that the other side opens.
    async fn pair() -> (Mux, Mux, mpsc::UnboundedReceiver<Stream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let (nobody, _) = mpsc::unbounded_channel();
        let (opened, streams) = mpsc::unbounded_channel();
        (
            Mux::start(near, nobody).unwrap(),
            Mux::start(far, opened).unwrap(),
            streams,
        )
    }

    #[tokio::test]
    async fn streams_carry_their_own_bytes_both_ways_and_end_alone() {
        let (near, _far, mut opened) = pair().await;
        let (mut one, mut other) = (near.open(1), near.open(2));
        let (mut far_one, mut far_other) = (opened.recv().await.unwrap(), opened.recv().await.unwrap());
        // Longer than the queue, so that writers wait for the connection.
        let long = vec![7; 3 * MOST_WAITING];
        let (written, read) = tokio::join!(
            async {
                one.write_all(&long).await.unwrap();
                drop(one);
            },
            async {
                let mut read = Vec::new();
                far_one.read_to_end(&mut read).await.unwrap();
                read
            }
        );
        assert_eq!((written, read), ((), long));
        far_other.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        other.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn when_the_connection_ends_so_do_its_streams() {
        let (near, _far, mut opened) = pair().await;
        let stream = near.open(1);
        let mut far = opened.recv().await.unwrap();
        near.shared.lock().end();
        drop((near, stream));
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert!(read.is_empty());
    }
}
