//! The sources that a member sends: their seats in the room, and what the SFU forwards of them.

use std::time::Instant;

use rotunda_events::What;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::signaling::{ErrorBody, ErrorCode, TrackState};
use tracing::warn;

use super::publishing::Before;
use super::{Membership, codec_not_supported};
use crate::member::{explain, failure};
use crate::room_documents::Refused;

impl Membership {
    pub async fn publish(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        if !self.rights.may_send(source) {
            return Err(failure(ErrorCode::NotPermitted));
        }
        if let Some(line) = self.media.refused(source) {
            return Err(codec_not_supported(line));
        }
        let seat = self.publishing.handle_seat_wanted(source);
        let taken = self
            .room
            .documents
            .take_seat(&self.member, &self.names, source, state)
            .await;
        if let Err(refused) = taken {
            match refused {
                Refused::Code(_) => self.publishing.handle_seat_refused(source, seat),
                Refused::Bus(_) => self.publishing.handle_seat_unanswered(Clock.now()),
            }
            return Err(explain(refused));
        }
        let before = self.publishing.begin(source);
        let settled = self.settle_publishing().await;
        if settled.is_err() && before == Before::New {
            // The SFU may forward it or not: the next command ends it, and then the seat is released.
            self.publishing.end(source);
        }
        if settled.is_ok() && before == Before::New {
            self.tell(|user, membership| What::Published {
                user,
                membership,
                source,
            });
        }
        settled
    }

    /// Call after this node was declared dead and has a new incarnation. The SFU stops forwarding sources without a seat.
    pub(super) async fn take_seats_again(&mut self) {
        for source in self.publishing.sources().clone() {
            let mut publishers = self.known.seats.publishers.iter();
            let known = publishers.find(|publisher| publisher.user == self.member.user);
            let state = known
                .and_then(|publisher| publisher.track(source))
                .unwrap_or(TrackState::On);
            if let Err(error) = self
                .room
                .documents
                .take_seat(&self.member, &self.names, source, state)
                .await
            {
                warn!(error = &error as &dyn std::error::Error, %source, "a seat was lost while this node had no bus");
                self.publishing.end(source);
            }
        }
        let _tried_again_later = self.settle_publishing().await;
    }

    pub async fn unpublish(&mut self, source: TrackSource) -> Result<(), ErrorBody> {
        self.publishing.end(source);
        self.settle_publishing().await
    }

    pub async fn mute(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        let documents = &self.room.documents;
        documents
            .mute(self.member.holder.membership, source, state)
            .await
            .map_err(explain)
    }

    /// Errors: the SFU or the bus has not confirmed it. It is repeated until both do.
    pub(super) async fn end_what_is_not_permitted(&mut self) -> Result<(), ErrorBody> {
        self.publishing.retain(|source| self.rights.may_send(source));
        self.end_pushes_not_permitted().await;
        self.settle_publishing().await
    }

    /// Updates the SFU's ingress to the published sources, and then releases the seats of the others. In this order no member is
    /// notified of the end of a source that the SFU may still forward.
    ///
    /// Errors: one of both is not confirmed. It is tried again at [`settle_at`](Self::settle_at).
    pub(super) async fn settle_publishing(&mut self) -> Result<(), ErrorBody> {
        self.media.set_ingress(self.publishing.sources()).await?;
        for source in self.publishing.seats_to_release() {
            match self.room.documents.release_seat(&self.member, source).await {
                Ok(()) => {
                    self.publishing.handle_released(source);
                    self.tell(|user, membership| What::Unpublished {
                        user,
                        membership,
                        source,
                    });
                }
                Err(refused) => {
                    self.publishing.handle_release_failed(Clock.now());
                    return Err(explain(refused));
                }
            }
        }
        Ok(())
    }

    /// When an unconfirmed change is tried again; None: everything is confirmed.
    pub(super) fn settle_at(&self) -> Option<Instant> {
        let times = [self.media.due_at(), self.publishing.release_at()];
        times.into_iter().flatten().min()
    }
}
