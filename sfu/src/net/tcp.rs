//! ICE-TCP: two-byte length framing both ways (RFC 4571 §2). Connections are tasks of the runtime; they exchange frames with
//! the worker's thread.

use std::net::SocketAddr;

use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::destination;
use crate::inbox::{Inbox, Letter};

/// Frames waiting for one TCP peer; a peer beyond it loses frames, as on UDP.
const QUEUE: usize = 512;

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
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, from)) = accepted else {
            continue;
        };
        if let Ok(local) = stream.local_addr() {
            let to = destination(Some(local.ip()), local, &advertised);
            tokio::spawn(serve(stream, from, to, inbox.clone()));
        }
    }
}

/// Both directions; they end with the connection.
async fn serve(stream: TcpStream, from: SocketAddr, to: SocketAddr, inbox: Inbox) {
    let _slow_start_only = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (sender, queue) = mpsc::channel(QUEUE);
    let peer = Letter::TcpPeer {
        from,
        peer: Peer(sender),
    };
    if inbox.send(peer).await.is_ok() {
        tokio::spawn(write_frames(write, queue));
        read_frames(read, from, to, inbox).await;
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
    while let Ok(length) = read.read_u16().await {
        let mut bytes = vec![0; length.into()];
        if read.read_exact(&mut bytes).await.is_err() {
            break;
        }
        if inbox
            .send(Letter::TcpFrame(TcpFrame { from, to, bytes }))
            .await
            .is_err()
        {
            break;
        }
    }
}
