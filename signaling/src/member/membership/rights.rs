//! The sources that a member may send and receive, by role, room ticket and server API. Pure.

use rotunda_proto::ids::TrackSource;
use rotunda_proto::room::Permissions;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::signaling::{Event, Role};

#[derive(Debug)]
pub struct MemberRights {
    role: Role,
    rights: Rights,
    given_by: Giver,
    /// Those of the newest room ticket.
    ticket: Rights,
    moderators: Moderators,
    /// The rights that the client knows.
    known: Known,
}

/// The members who decide who enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moderators {
    /// Those whose room ticket says so.
    ByTicket,
    /// All anchors, unless the server API has set their rights: the application has no room tickets, so that all members have all
    /// rights.
    Anchors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    media: Rights,
    may_moderate: bool,
}

/// The origin of the rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Giver {
    /// The room ticket. A ticket that comes with a change of role replaces it.
    Ticket,
    /// The server API. Later tickets change nothing.
    ServerApi,
}

impl MemberRights {
    /// For a member who enters. The client assumes the full rights of its role until it is notified of others.
    pub fn new(role: Role, rights: Rights, moderators: Moderators) -> Self {
        let mut new = Self {
            role,
            rights,
            given_by: Giver::Ticket,
            ticket: rights,
            moderators,
            known: Known {
                media: permitted(role, Rights::ALL),
                may_moderate: false,
            },
        };
        // The answer to their entry has it.
        new.known.may_moderate = new.may_moderate();
        new
    }

    pub fn may_moderate(&self) -> bool {
        match self.moderators {
            Moderators::ByTicket => self.ticket.may_moderate(),
            Moderators::Anchors => self.role == Role::Anchor && self.given_by == Giver::Ticket,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn may_send(&self, source: TrackSource) -> bool {
        permitted(self.role, self.rights).may_send(source)
    }

    pub fn may_receive(&self, source: TrackSource) -> bool {
        self.rights.may_receive(source)
    }

    /// The rights to receive do not depend on the role.
    pub fn to_receive(&self) -> Rights {
        self.rights
    }

    /// `rights`: of another ticket.
    pub fn switch_role(&mut self, role: Role, rights: Option<Rights>) {
        self.role = role;
        self.ticket = rights.unwrap_or(self.ticket);
        if self.given_by == Giver::Ticket {
            self.rights = self.ticket;
        }
    }

    /// Sets the rights of the server API, which last until the member leaves the room. None: those of the room ticket again.
    pub fn permit(&mut self, rights: Option<Rights>) {
        (self.rights, self.given_by) = match rights {
            Some(rights) => (rights, Giver::ServerApi),
            None => (self.ticket, Giver::Ticket),
        };
    }

    /// The rights, if the client does not know them yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        let now = Known {
            media: permitted(self.role, self.rights),
            may_moderate: self.may_moderate(),
        };
        let before = std::mem::replace(&mut self.known, now);
        (now != before).then(|| self.event())
    }

    /// The rights that the client knows.
    pub fn event(&self) -> Event {
        let Permissions { send, receive } = self.known.media.permissions();
        let moderate = self.known.may_moderate;
        Event::Permissions {
            send,
            receive,
            moderate,
        }
    }
}

fn permitted(role: Role, rights: Rights) -> Rights {
    match role {
        Role::Anchor => rights,
        Role::Audience => rights.receive_only(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(sources: &[TrackSource]) -> Rights {
        Rights::of(&Permissions {
            send: sources.iter().copied().collect(),
            receive: TrackSource::ALL.into(),
        })
    }

    #[test]
    fn the_audience_sends_nothing_and_receives_what_the_ticket_permits() {
        let mut rights = MemberRights::new(Role::Audience, Rights::ALL, Moderators::Anchors);
        assert!(!rights.may_send(TrackSource::Audio) && rights.may_receive(TrackSource::Screen));
        assert_eq!(rights.poll_event(), None, "the client knows it");
        rights.switch_role(Role::Anchor, None);
        assert!(rights.may_send(TrackSource::Audio));
        assert!(
            matches!(rights.poll_event(), Some(Event::Permissions { send, .. }) if send == TrackSource::ALL.into())
        );
        assert_eq!(rights.poll_event(), None, "told once");
    }

    #[test]
    fn tickets_make_moderators_and_without_tickets_all_anchors_are() {
        let mut by_ticket = MemberRights::new(Role::Audience, Rights::from_bits(255 | 256), Moderators::ByTicket);
        assert!(by_ticket.may_moderate());
        by_ticket.permit(Some(Rights::ALL));
        assert!(by_ticket.may_moderate(), "the server API gives rights to media alone");
        by_ticket.switch_role(Role::Audience, Some(Rights::ALL));
        assert!(!by_ticket.may_moderate());
        assert!(matches!(
            by_ticket.poll_event(),
            Some(Event::Permissions { moderate: false, .. })
        ));
        let mut anchor = MemberRights::new(Role::Anchor, Rights::ALL, Moderators::Anchors);
        assert!(anchor.may_moderate());
        anchor.permit(Some(sends(&[])));
        assert!(!anchor.may_moderate());
        anchor.permit(None);
        anchor.switch_role(Role::Audience, None);
        assert!(!anchor.may_moderate());
    }

    #[test]
    fn a_ticket_does_not_override_the_server_api() {
        let mut rights = MemberRights::new(Role::Anchor, sends(&[TrackSource::Audio]), Moderators::Anchors);
        rights.switch_role(Role::Anchor, Some(Rights::ALL));
        assert!(rights.may_send(TrackSource::Camera));
        rights.permit(Some(sends(&[])));
        rights.switch_role(Role::Anchor, Some(Rights::ALL));
        assert!(!rights.may_send(TrackSource::Camera));
        rights.permit(None);
        assert!(rights.may_send(TrackSource::Camera), "the newest ticket's");
    }
}
