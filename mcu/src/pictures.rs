//! Reads the pictures that a layout names from the store, each one once.

use std::collections::HashSet;

use rotunda_proto::ids::SdkAppId;
use rotunda_proto::mix::{Layout, PictureId};
use rotunda_store::Store;

use crate::worker::Order;

/// See the [module](self).
pub struct Pictures {
    store: Store,
    app: SdkAppId,
    read: HashSet<PictureId>,
}

impl Pictures {
    pub fn new(store: Store, app: SdkAppId) -> Self {
        Self {
            store,
            app,
            read: HashSet::new(),
        }
    }

    /// The pictures of this layout that the worker does not have yet. One that is missing, or that the store does not give, is
    /// asked for again with the next layout: until then the mix has the background colour or the name card in its place.
    pub async fn missing(&mut self, layout: &Layout) -> Vec<Order> {
        let wanted: HashSet<PictureId> = layout.pictures().collect();
        self.read.retain(|id| wanted.contains(id));
        let mut orders = Vec::new();
        for id in wanted {
            if self.read.contains(&id) {
                continue;
            }
            match self.store.picture(self.app, id.get()).await {
                Ok(Some(picture)) => {
                    self.read.insert(id);
                    orders.push(Order::Picture {
                        id,
                        file: picture.content,
                    });
                }
                Ok(None) => tracing::warn!(app = %self.app, id = id.get(), "a picture of the layout was deleted"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(app = %self.app, id = id.get(), error, "a picture of the layout was not read");
                }
            }
        }
        orders
    }
}
