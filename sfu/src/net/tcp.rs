//! ICE-TCP: two-byte length framing both ways (RFC 4571 §2). Connections are tasks of the runtime; they exchange frames with
//! the worker's thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::destination;
use crate::inbox::{Inbox, Letter};

/// Frames waiting for one TCP peer; a peer beyond it loses frames, as on UDP.
const QUEUE: usize = 512;
/// Connections of one worker, whoever they are from: descriptors are for members.
const PEERS: usize = 4096;
/// A connection without a frame for so long is closed: checks of consent come every few seconds (RFC 7675 §5.1).
const SILENCE: Duration = Duration::from_secs(30);

/// A frame from an ICE-TCP peer.
pub struct TcpFrame {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// The worker's end of a connection.
pub struct Peer(mpsc::Sender<Vec<u8>>);

impl Peer {
    /// Queues a frame; a peer whose queue is full loses it.
    pub fn send(&self, bytes: &[u8]) {
        if self.0.try_send(bytes.to_vec()).is_err() {
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "tcp_queue").increment(1);
        }
    }

    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// Accepts connections until `shutdown`. Each one's peer, then its frames, reach the worker by `inbox`.
pub async fn accept(listener: TcpListener, advertised: Vec<SocketAddr>, inbox: Inbox, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(PEERS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, from)) = accepted else {
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "tcp_peers").increment(1);
            continue;
        };
        if let Ok(local) = stream.local_addr() {
            let to = destination(Some(local.ip()), local, &advertised);
            let inbox = inbox.clone();
            tokio::spawn(async move {
                serve(stream, from, to, inbox).await;
                drop(place);
            });
        }
    }
}

/// Either end of it is the connection's end: nothing of it stays behind.
async fn serve(stream: TcpStream, from: SocketAddr, to: SocketAddr, inbox: Inbox) {
    let _slow_start_only = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (sender, queue) = mpsc::channel(QUEUE);
    let peer = Letter::TcpPeer {
        from,
        peer: Peer(sender),
    };
    if inbox.send(peer).await.is_ok() {
        tokio::select! {
            () = write_frames(write, queue) => {}
            () = read_frames(read, from, to, inbox) => {}
        }
    }
}

async fn write_frames(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        let Ok(length) = u16::try_from(bytes.len()) else {
            continue;
        };
        let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
        if write.write_all(&framed).await.is_err() {
            break;
        }
    }
}

async fn read_frames(mut read: OwnedReadHalf, from: SocketAddr, to: SocketAddr, inbox: Inbox) {
    loop {
        let frame = async {
            let length = read.read_u16().await?;
            let mut bytes = vec![0; length.into()];
            read.read_exact(&mut bytes).await.map(|_| bytes)
        };
        let Ok(Ok(bytes)) = timeout(SILENCE, frame).await else {
            break;
        };
        if inbox
            .send(Letter::TcpFrame(TcpFrame { from, to, bytes }))
            .await
            .is_err()
        {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::{Letters, inbox};

    async fn next_peer(letters: &mut Letters) -> Peer {
        match letters.recv().await.unwrap() {
            Letter::TcpPeer { peer, .. } => peer,
            _ => panic!("the peer comes first"),
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_or_silent_leaves_nothing_behind() {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (inbox, mut letters) = inbox(waker);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, Vec::new(), inbox, CancellationToken::new()));

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
        let peer = next_peer(&mut letters).await;
        let Letter::TcpFrame(frame) = letters.recv().await.unwrap() else {
            panic!("then its frame");
        };
        assert_eq!(frame.bytes, [1, 2, 3]);
        drop(client);
        peer.0.closed().await;

        let silent = TcpStream::connect(address).await.unwrap();
        let peer = next_peer(&mut letters).await;
        tokio::time::pause();
        peer.0.closed().await;
        drop(silent);
    }
}
