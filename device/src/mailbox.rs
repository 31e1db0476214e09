//! Messages of the device: numbered on their way out, put together on their way in, and the requests that wait for a reply. Sans-IO.

use std::collections::HashMap;
use std::time::Instant;

use rotunda_proto::ids::UserId;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::message::{Assembler, Message, MessageError};
use crate::protocol::Refusal;

/// The reply to a request of the device.
pub type Reply = Result<Message, Refusal>;

/// See the [module](self).
pub struct Mailbox {
    assembler: Assembler,
    next_message: u32,
    next_id: u64,
    pending: HashMap<u64, Pending>,
}

/// A request that waits for its reply.
struct Pending {
    to: UserId,
    reply: oneshot::Sender<Reply>,
}

impl Mailbox {
    /// `first`: the number of the first message. Viewers drop what has a number that they have just seen, so a device that starts again
    /// takes another one.
    pub fn new(own: UserId, first: u32) -> Self {
        Self {
            assembler: Assembler::new(own),
            next_message: first,
            next_id: 0,
            pending: HashMap::new(),
        }
    }

    /// The message that this fragment completes.
    pub fn handle_fragment(
        &mut self,
        now: Instant,
        from: &UserId,
        bytes: &[u8],
    ) -> Option<Result<Message, MessageError>> {
        self.assembler.handle_fragment(now, from, bytes)
    }

    /// Of the next message.
    pub fn number(&mut self) -> u32 {
        self.next_message = self.next_message.wrapping_add(1);
        self.next_message
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A request for a viewer, to be sent, and the end on which its reply comes. The end may be dropped.
    pub fn ask(&mut self, to: UserId, mut fields: Value, binary: Vec<u8>) -> (Message, oneshot::Receiver<Reply>) {
        let (reply, answered) = oneshot::channel();
        let id = self.next_id();
        // Requests that were given up: nobody waits any more.
        self.pending.retain(|_, pending| !pending.reply.is_closed());
        self.pending.insert(id, Pending { to, reply });
        fields["id"] = json!(id);
        (Message { json: fields, binary }, answered)
    }

    /// A reply has come. A reply of another viewer than the one who was asked is none.
    pub fn settle(&mut self, from: &UserId, id: u64, reply: Reply) {
        if self.pending.get(&id).is_some_and(|pending| pending.to == *from)
            && let Some(pending) = self.pending.remove(&id)
        {
            let _gone = pending.reply.send(reply);
        }
    }

    /// The viewer has gone: nothing more is expected.
    pub fn forget(&mut self, user: &UserId) {
        self.pending.retain(|_, pending| pending.to != *user);
        self.assembler.forget(user);
    }

    /// Nobody replies any more.
    pub fn close(&mut self) {
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    #[test]
    fn a_reply_counts_only_from_the_viewer_who_was_asked() {
        let mut mailbox = Mailbox::new(user("cam"), 0);
        let (request, mut reply) = mailbox.ask(user("ann"), json!({"op": "ping"}), Vec::new());
        let id = request.json["id"].as_u64().unwrap();
        mailbox.settle(&user("bob"), id, Err(Refusal::new("refused", "I am not ann")));
        assert!(reply.try_recv().is_err(), "bob was not asked");
        let message = Message::new(json!({"id": id, "ok": true}));
        mailbox.settle(&user("ann"), id, Ok(message.clone()));
        assert_eq!(reply.try_recv().unwrap(), Ok(message));
    }

    #[test]
    fn requests_to_a_viewer_who_has_gone_end() {
        let mut mailbox = Mailbox::new(user("cam"), 0);
        let (_, mut to_ann) = mailbox.ask(user("ann"), json!({"op": "ping"}), Vec::new());
        let (_, mut to_bob) = mailbox.ask(user("bob"), json!({"op": "ping"}), Vec::new());
        mailbox.forget(&user("ann"));
        assert_eq!(to_ann.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(to_bob.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }
}
