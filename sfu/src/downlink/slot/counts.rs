//! Counts of a slot's packets, and the loss that its viewer reports.

#[derive(Debug, Default)]
pub struct Counts {
    packets: u32,
    octets: u32,
    /// Retransmissions.
    resent: u32,
    reported_loss: ReportedLoss,
    /// Packets and octets at the last look.
    before: [u32; 2],
}

impl Counts {
    pub fn packets(&self) -> u32 {
        self.packets
    }

    pub fn octets(&self) -> u32 {
        self.octets
    }

    pub fn resent(&self) -> u32 {
        self.resent
    }

    pub fn add(&mut self, octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    pub fn add_resent(&mut self) {
        self.resent += 1;
    }

    /// `fraction_lost`: of 256 (RFC 3550 §6.4.1).
    pub fn handle_loss(&mut self, fraction_lost: u8) {
        self.reported_loss.handle_report(fraction_lost);
    }

    /// Percent, over the reports since the last call; without any, as the last time.
    pub fn take_loss(&mut self) -> u8 {
        self.reported_loss.take()
    }

    /// Packets and octets since the last call.
    pub fn since_last(&mut self) -> (u32, u32) {
        let [packets, octets] = std::mem::replace(&mut self.before, [self.packets, self.octets]);
        (self.packets.wrapping_sub(packets), self.octets.wrapping_sub(octets))
    }
}

/// Share of packets lost at the first sending, as their receiver reports it.
#[derive(Debug, Clone, Copy, Default)]
struct ReportedLoss {
    sum: u32,
    count: u32,
    last: u8,
}

impl ReportedLoss {
    /// `fraction_lost`: of 256 (RFC 3550 §6.4.1).
    fn handle_report(&mut self, fraction_lost: u8) {
        self.sum += u32::from(fraction_lost);
        self.count += 1;
    }

    /// Percent, over the reports since the last call; without any, what was answered before.
    fn take(&mut self) -> u8 {
        if let Some(mean) = (self.sum * 100).checked_div(self.count * 256) {
            *self = Self {
                last: mean as u8,
                ..Self::default()
            };
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_losses_are_the_mean_of_the_reports_and_last_until_the_next() {
        let mut loss = ReportedLoss::default();
        assert_eq!(loss.take(), 0);
        loss.handle_report(64);
        loss.handle_report(0);
        assert_eq!(loss.take(), 12, "64 of 256 and nothing");
        assert_eq!(loss.take(), 12, "nothing new");
        loss.handle_report(255);
        assert_eq!(loss.take(), 99);
    }
}
