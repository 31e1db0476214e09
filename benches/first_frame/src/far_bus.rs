//! A bus that is some milliseconds away from each server.

use std::time::Duration;

use rotunda_bus::{BusError, Call, Policy, SharedBus, Wrapped};
use rotunda_proto::clock::Clock;

pub type FarBus = Wrapped<Far>;

/// The policy of a [`FarBus`]. Calls take the way there and back, and requests that of both servers. Messages and watched changes take no
/// time: a server does not wait for them either.
pub struct Far {
    /// One way.
    delay: Duration,
}

/// `delay`: one way.
pub fn far_bus(bus: SharedBus, delay: Duration) -> FarBus {
    FarBus::around(bus, Far { delay })
}

impl Far {
    async fn ways(&self, count: u32) {
        if count > 0 && !self.delay.is_zero() {
            Clock.sleep_until(Clock.now() + self.delay * count).await;
        }
    }
}

impl Policy for Far {
    async fn carry_out<T: Send>(
        &self,
        call: Call<'_>,
        forwarded: impl Future<Output = Result<T, BusError>> + Send,
    ) -> Result<T, BusError> {
        let ways = match call {
            Call::Request(_) => 2,
            Call::Get(_) | Call::Put(_) | Call::Delete(_) | Call::List(_) | Call::Bound(_) => 1,
            Call::Serve(_) | Call::Publish(_) | Call::Subscribe(_) | Call::Watch(_) => 0,
        };
        self.ways(ways).await;
        let answer = forwarded.await;
        self.ways(ways).await;
        answer
    }
}
