//! Two ends of a link that have agreed on their keys, for tests and fuzz targets.

use std::net::SocketAddr;
use std::time::Instant;

use rotunda_proto::ids::NodeId;
use rotunda_proto::sfu::LinkEnd;
use rotunda_proto::ticket::ClusterSecret;

use super::Link;
use super::crypto::{LinkError, OwnKey, Side};

/// The ends at these addresses call the link by these numbers.
pub fn pair(now: Instant, addresses: [SocketAddr; 2], numbers: [u32; 2]) -> Result<[Link; 2], LinkError> {
    let (one, two) = (OwnKey::generate()?, OwnKey::generate()?);
    let node: NodeId = "sfu".parse().map_err(|_| LinkError::Malformed)?;
    let end = |key: &OwnKey, which: usize| LinkEnd {
        node: node.clone(),
        worker: 0,
        link: numbers[which],
        key: key.public().to_vec(),
        addresses: vec![addresses[which]],
    };
    let (asking, asked) = (end(&one, 0), end(&two, 1));
    let secret = ClusterSecret::new("secret");
    let one = one.agree(Side::Asking, &asking, &asked, &secret)?;
    let two = two.agree(Side::Asked, &asking, &asked, &secret)?;
    Ok([
        Link::new(now, numbers[1], one, &asked.addresses),
        Link::new(now, numbers[0], two, &asking.addresses),
    ])
}
