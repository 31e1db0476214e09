//! Drives one worker: waits for sockets, orders and time, and sends what comes out.

use std::io;

use rotunda_proto::clock::Clock;
use rotunda_proto::sfu::{ControlError, Reply};
use str0m::net::Protocol;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::control::{Order, Task};
use crate::net::{Tcp, TcpFrame, Udp};
use crate::worker::{RoomEvent, Worker};

/// Reads in a row before what they gave is sent.
const READS: usize = 4;

pub struct Shell {
    worker: Worker,
    udp: Udp,
    tcp: Tcp,
    frames: mpsc::Receiver<TcpFrame>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<RoomEvent>,
    buffer: Vec<u8>,
}

impl Shell {
    pub fn new(
        worker: Worker,
        udp: Udp,
        tcp: Tcp,
        frames: mpsc::Receiver<TcpFrame>,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<RoomEvent>,
    ) -> Self {
        Self {
            worker,
            udp,
            tcp,
            frames,
            orders,
            events,
            buffer: Vec::with_capacity(65_536),
        }
    }

    pub async fn run(mut self, shutdown: CancellationToken) -> io::Result<()> {
        let clock = Clock;
        loop {
            let due = self.worker.poll_timeout();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                ready = self.udp.readable() => {
                    ready?;
                    self.receive()?;
                }
                Some(frame) = self.frames.recv() => {
                    self.worker.handle_datagram(clock.now(), frame.from, frame.to, Protocol::Tcp, &frame.bytes);
                }
                accepted = self.tcp.accept() => {
                    if let Ok((stream, from)) = accepted {
                        self.tcp.serve(stream, from);
                    }
                }
                order = self.orders.recv() => {
                    let Some(Order { task, reply }) = order else { return Ok(()) };
                    let _caller_gave_up = reply.send(self.carry_out(task));
                }
                () = async { match due { Some(due) => clock.sleep_until(due).await, None => std::future::pending().await } } => {
                    self.worker.handle_timeout(clock.now());
                }
            }
            self.flush();
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        for _ in 0..READS {
            let (now, worker) = (Clock.now(), &mut self.worker);
            let read = self.udp.receive(|datagram| {
                worker.handle_datagram(now, datagram.from, datagram.to, datagram.proto, datagram.bytes);
            })?;
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, task: Task) -> Reply {
        let now = Clock.now();
        let done = |result: Result<(), ControlError>| match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused { error },
        };
        match task {
            Task::Adopt { session, answer } => match self.worker.adopt(now, *session) {
                Ok(()) => Reply::Opened { answer },
                Err(error) => Reply::Refused { error },
            },
            Task::Restart { session, offer } => match self.worker.restart(now, session, &offer) {
                Ok(answer) => Reply::Opened { answer },
                Err(error) => Reply::Refused { error },
            },
            Task::SetIngress { session, sources } => done(self.worker.set_ingress(now, session, sources)),
            Task::SetSlots { session, slots } => done(self.worker.set_slots(now, session, &slots)),
            Task::Statistics { room, user } => match self.worker.statistics(&room, &user) {
                Ok(statistics) => Reply::Statistics {
                    statistics: Box::new(statistics),
                },
                Err(error) => Reply::Refused { error },
            },
            Task::Close { session } => {
                self.worker.close(now, session);
                Reply::Done
            }
        }
    }

    /// Sends what the worker has made.
    fn flush(&mut self) {
        while let Some(datagram) = self.worker.poll_control() {
            match datagram.path.proto {
                Protocol::Udp => self.udp.send(&datagram.path, &datagram.bytes, datagram.bytes.len()),
                _ => self.tcp.send(datagram.path.to, &datagram.bytes),
            }
        }
        // The time of each send is what the viewer's feedback is compared with.
        while let Some((path, segment)) = self.worker.poll_media(Clock.now(), &mut self.buffer) {
            match path.proto {
                Protocol::Udp => self.udp.send(&path, &self.buffer, segment),
                _ => self.tcp.send(path.to, &self.buffer),
            }
        }
        while let Some(event) = self.worker.poll_event() {
            if self.events.try_send(event).is_err() {
                metrics::counter!("rotunda_sfu_events_dropped_total").increment(1);
            }
        }
    }
}
