#!/usr/bin/env python3
"""Junk for a media port: junk.py HOST PORT PACKETS_PER_SECOND SECONDS

From 64 ports at once, a third each: random bytes, STUN requests of names that nobody has, RTP of nobody's session. Prints how
many packets a second left.
"""
import random
import socket
import struct
import sys
import time


def stun(rng):
    name = b"%08x:%08x" % (rng.getrandbits(32), rng.getrandbits(32))
    user = struct.pack(">HH", 6, len(name)) + name + bytes(-len(name) % 4)
    rest = struct.pack(">HHI", 0x24, 4, 1) + struct.pack(">HH", 8, 20) + rng.randbytes(20)
    return struct.pack(">HHI", 1, len(user + rest), 0x2112A442) + rng.randbytes(12) + user + rest


def rtp(rng):
    return struct.pack(">BBHII", 0x80, rng.choice([96, 111, 200]), *(rng.getrandbits(bits) for bits in (16, 32, 32))) + rng.randbytes(160)


def main():
    host, port, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    rng = random.Random(1)
    noise = lambda rng: rng.randbytes(rng.randrange(1, 300))
    packets = [make(rng) for make in (noise, stun, rtp) for _ in range(200)]
    rng.shuffle(packets)
    sockets = []
    for _ in range(64):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.connect((host, port))
        sockets.append(one.send)
    begun = time.monotonic()
    sent = left = 0
    while (now := time.monotonic() - begun) < seconds:
        due = int(now * rate) - sent
        if due <= 0:
            time.sleep(0.0005)
            continue
        # Packets that could not be sent in time are skipped, not sent later in a burst.
        if due > rate // 50:
            sent += due - rate // 50
            due = rate // 50
        for number in range(sent, sent + due):
            try:
                sockets[number & 63](packets[number % len(packets)])
                left += 1
            except (ConnectionRefusedError, BlockingIOError):
                pass
        sent += due
    print(round(left / seconds))


if __name__ == "__main__":
    main()
