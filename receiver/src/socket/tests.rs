use super::*;

const GATHER: Duration = Duration::from_millis(200);

fn pair() -> (Socket, std::net::UdpSocket) {
    let socket = Socket::bind([127, 0, 0, 1].into()).unwrap();
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    (socket, peer)
}

fn taken(socket: &mut Socket) -> Vec<Datagram> {
    std::iter::from_fn(|| socket.next_datagram()).collect()
}

/// The first socket of a system that asks for times of arrival gets them a moment later.
async fn has_times(socket: &mut Socket, peer: &std::net::UdpSocket) {
    for _ in 0..100 {
        peer.send(&[0]).unwrap();
        let sent = Clock.now();
        Clock.sleep_until(sent + Duration::from_millis(20)).await;
        socket.readable().await.unwrap();
        socket.receive(Clock.now()).unwrap();
        if taken(socket)
            .iter()
            .all(|datagram| datagram.arrived <= sent + Duration::from_millis(10))
        {
            return;
        }
    }
    panic!("the system tells no times of arrival");
}

#[tokio::test]
async fn each_datagram_makes_it_readable() {
    let (mut socket, peer) = pair();
    for number in [1, 2, 3] {
        peer.send(&[number]).unwrap();
        socket.readable().await.unwrap();
        socket.receive(Clock.now()).unwrap();
        let bytes: Vec<_> = taken(&mut socket).into_iter().map(|datagram| datagram.bytes).collect();
        assert_eq!(bytes, [[number]]);
    }
}

#[tokio::test]
async fn datagrams_that_are_gathered_have_the_times_at_which_they_came() {
    let (mut socket, peer) = pair();
    has_times(&mut socket, &peer).await;
    let begin = Clock.now();
    socket.gather(GATHER);
    peer.send(&[1]).unwrap();
    Clock.sleep_until(begin + GATHER / 2).await;
    let second_at = Clock.now();
    peer.send(&[2]).unwrap();
    let second_by = Clock.now();
    socket.readable().await.unwrap();
    let now = Clock.now();
    assert!(now >= begin + GATHER, "it waits although datagrams have come");
    socket.receive(now).unwrap();
    let datagrams = taken(&mut socket);
    let bytes: Vec<_> = datagrams.iter().map(|datagram| datagram.bytes[0]).collect();
    assert_eq!(bytes, [1, 2]);
    // Two clocks are read one after the other, so a moment lies between them.
    let near = Duration::from_millis(20);
    let [first, second] = [&datagrams[0], &datagrams[1]].map(|datagram| datagram.arrived);
    assert!(first <= begin + near, "{:?}", first.saturating_duration_since(begin));
    assert!(
        second + near >= second_at && second <= second_by + near,
        "{:?} after it was sent",
        second.saturating_duration_since(second_at)
    );
}

#[tokio::test]
async fn a_flood_is_read_in_turns() {
    for gathers in [false, true] {
        let (mut socket, peer) = pair();
        if gathers {
            socket.gather(GATHER);
        }
        // As many as the smallest kernel buffer takes.
        for _ in 0..300 {
            peer.send(&[0]).unwrap();
        }
        let mut turns = Vec::new();
        while turns.iter().sum::<usize>() < 300 {
            socket.readable().await.unwrap();
            let begin = Clock.now();
            socket.receive(begin).unwrap();
            turns.push(taken(&mut socket).len());
            let is_ready = tokio::time::timeout(GATHER / 4, socket.readable()).await.is_ok();
            assert_eq!(is_ready, turns.len() == 1, "after turn {}", turns.len());
        }
        assert_eq!(
            turns,
            [BATCH * MOST_CALLS, 300 - BATCH * MOST_CALLS],
            "gathers: {gathers}"
        );
    }
}
