//! ICE-TCP: two-byte length framing both ways (RFC 4571 §2). Connections are tasks of the runtime; they exchange frames with
//! the worker's thread.
//!
//! A connection that is accepted belongs to nobody yet. The worker answers authentic ICE checks alone, so a connection that it has
//! sent nothing is closed after [`PROOF`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connections::{Connections, Place};
use super::destination;
use crate::node::worker_message::{self, Inbox, WorkerMessage};

/// Frames waiting for one TCP peer; a peer beyond it loses frames, as on UDP.
const QUEUE: usize = 512;
/// Frames of all TCP peers that wait for the worker. The other half of its queue is for commands.
const FRAMES: usize = worker_message::QUEUE / 2;
/// Longest frame, bytes: a datagram of WebRTC, with room to spare.
const MOST_FRAME: usize = 4096;
/// A connection whose client has not passed an ICE check for so long after it was accepted is closed.
const PROOF: Duration = Duration::from_secs(10);
/// A connection without a frame for so long is closed: checks of consent come every few seconds (RFC 7675 §5.1).
const SILENCE: Duration = Duration::from_secs(30);
/// A frame that has begun has to be complete in this time, and one that is written has to be taken in it.
const FRAME_TIME: Duration = Duration::from_secs(10);
/// The listener rests for so long when the system has no descriptor for it.
const REST: Duration = Duration::from_millis(100);

/// A frame from an ICE-TCP peer.
pub struct TcpFrame {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    /// Its place among those that wait for the worker.
    _waiting: OwnedSemaphorePermit,
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

/// The parts that the connections of one listener share.
#[derive(Clone)]
struct Shared {
    inbox: Inbox,
    frames: Arc<Semaphore>,
}

/// Accepts connections until `shutdown`. Each one's peer, then its frames, reach the worker by `inbox`.
pub async fn accept(
    listener: TcpListener,
    advertised: Vec<SocketAddr>,
    connections: Arc<Connections>,
    inbox: Inbox,
    shutdown: CancellationToken,
) {
    let frames = Arc::new(Semaphore::new(FRAMES));
    let shared = Shared { inbox, frames };
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Without a descriptor the connection stays where it is, and the next call fails at once.
                if !is_of_connection(&error) {
                    refuse("descriptors");
                    sleep(REST).await;
                }
                continue;
            }
        };
        match (connections.admit(from.ip()), stream.local_addr()) {
            (Ok(place), Ok(local)) => {
                let to = destination(Some(local.ip()), local, &advertised);
                tokio::spawn(serve(stream, from, to, shared.clone(), place));
            }
            (Err(refused), _) => refuse(refused.name()),
            (Ok(_), Err(_)) => {}
        }
    }
}

/// Whether it is the end of one connection, not the listener's (accept(2)).
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

fn refuse(reason: &'static str) {
    counter!("rotunda_sfu_tcp_connections_refused_total", "reason" => reason).increment(1);
}

/// Either end of it is the connection's end: nothing of it stays behind.
async fn serve(stream: TcpStream, from: SocketAddr, to: SocketAddr, shared: Shared, _place: Place) {
    let _slow_start_only = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (sender, queue) = mpsc::channel(QUEUE);
    let (proven, proof) = watch::channel(false);
    let peer = WorkerMessage::TcpPeer {
        from,
        peer: Peer(sender),
    };
    if shared.inbox.send(peer).await.is_ok() {
        tokio::select! {
            () = write_frames(write, queue, proven) => {}
            () = read_frames(read, from, to, shared) => {}
            () = without_proof(proof) => refuse("silent"),
        }
    }
}

/// Ends when the client has not passed a check in time.
async fn without_proof(mut proof: watch::Receiver<bool>) {
    if matches!(timeout(PROOF, proof.wait_for(|proven| *proven)).await, Ok(Ok(_))) {
        std::future::pending::<()>().await;
    }
}

async fn write_frames(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>, proven: watch::Sender<bool>) {
    while let Some(bytes) = queue.recv().await {
        let Ok(length) = u16::try_from(bytes.len()) else {
            continue;
        };
        let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
        if !matches!(timeout(FRAME_TIME, write.write_all(&framed)).await, Ok(Ok(()))) {
            break;
        }
        proven.send_if_modified(|proven| !std::mem::replace(proven, true));
    }
}

async fn read_frames(mut read: OwnedReadHalf, from: SocketAddr, to: SocketAddr, shared: Shared) {
    while let Some(bytes) = read_frame(&mut read).await {
        let Ok(waiting) = Arc::clone(&shared.frames).acquire_owned().await else {
            break;
        };
        let frame = TcpFrame {
            from,
            to,
            bytes,
            _waiting: waiting,
        };
        if shared.inbox.send(WorkerMessage::TcpFrame(frame)).await.is_err() {
            break;
        }
    }
}

/// None: the connection has ended, is silent or too slow, or what comes is no frame of WebRTC.
async fn read_frame(read: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let first = timeout(SILENCE, read.read_u8()).await.ok()?.ok()?;
    let rest = async {
        let length = usize::from(u16::from_be_bytes([first, read.read_u8().await.ok()?]));
        if length > MOST_FRAME {
            return None;
        }
        let mut bytes = vec![0; length];
        read.read_exact(&mut bytes).await.ok()?;
        Some(bytes)
    };
    timeout(FRAME_TIME, rest).await.ok()?
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;
    use crate::node::worker_message::{WorkerMessages, inbox};

    /// A listener, its address, and what reaches the worker.
    async fn listener(connections: Arc<Connections>) -> (SocketAddr, WorkerMessages) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (inbox, messages) = inbox(waker);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(
            listener,
            Vec::new(),
            connections,
            inbox,
            CancellationToken::new(),
        ));
        (address, messages)
    }

    async fn next_peer(messages: &mut WorkerMessages) -> Peer {
        match messages.recv().await.unwrap() {
            WorkerMessage::TcpPeer { peer, .. } => peer,
            _ => panic!("the peer comes first"),
        }
    }

    /// Sends the client something, as the worker does after an authentic check.
    async fn prove(peer: &Peer, client: &mut TcpStream) {
        peer.send(&[7]);
        let mut frame = [0; 3];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame, [0, 1, 7]);
    }

    /// Seconds of virtual time until the connection is closed.
    async fn seconds_until_closed(peer: &Peer) -> u64 {
        tokio::time::pause();
        let before = tokio::time::Instant::now();
        peer.0.closed().await;
        tokio::time::resume();
        before.elapsed().as_secs()
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_leaves_nothing_behind() {
        let connections = Connections::new(1, 1);
        let (address, mut messages) = listener(Arc::clone(&connections)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
        let peer = next_peer(&mut messages).await;
        let WorkerMessage::TcpFrame(frame) = messages.recv().await.unwrap() else {
            panic!("then its frame");
        };
        assert_eq!(frame.bytes, [1, 2, 3]);
        let again = connections.admit([127, 0, 0, 1].into());
        assert!(again.is_err(), "the one place is taken");
        drop(client);
        peer.0.closed().await;
        let free = || connections.admit([127, 0, 0, 1].into()).is_ok();
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if free() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_passes_no_check_has_ten_seconds() {
        let (address, mut messages) = listener(Connections::new(9, 9)).await;
        let mut talkative = TcpStream::connect(address).await.unwrap();
        talkative.write_all(&[0, 1, 1]).await.unwrap();
        let peer = next_peer(&mut messages).await;
        let _frame = messages.recv().await.unwrap();
        assert_eq!(seconds_until_closed(&peer).await, PROOF.as_secs());
    }

    #[tokio::test]
    async fn a_client_that_has_passed_a_check_may_be_silent_for_half_a_minute() {
        let (address, mut messages) = listener(Connections::new(9, 9)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let peer = next_peer(&mut messages).await;
        prove(&peer, &mut client).await;
        let seconds = seconds_until_closed(&peer).await;
        assert!(seconds >= SILENCE.as_secs() - 1, "{seconds}");
    }

    #[tokio::test]
    async fn a_frame_that_trickles_in_or_is_too_long_ends_the_connection() {
        let (address, mut messages) = listener(Connections::new(9, 9)).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        let peer = next_peer(&mut messages).await;
        prove(&peer, &mut slow).await;
        slow.write_all(&[0, 200, 1, 2]).await.unwrap();
        assert!(seconds_until_closed(&peer).await <= FRAME_TIME.as_secs());

        let mut long = TcpStream::connect(address).await.unwrap();
        let peer = next_peer(&mut messages).await;
        prove(&peer, &mut long).await;
        long.write_all(&[0xff, 0xff]).await.unwrap();
        peer.0.closed().await;
    }

    #[tokio::test]
    async fn one_address_has_no_more_connections_than_its_limit() {
        let (address, mut messages) = listener(Connections::new(9, 1)).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let _peer = next_peer(&mut messages).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(matches!(second.read_u8().await, Err(_)), "closed at once");
    }
}
