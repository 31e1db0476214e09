"""The lips of the drawn face close when an m, b or p is heard, and open for an a: measured in a recording."""

import asyncio

import av
import numpy
from avatar_client import RATE, mouth, ordered
from phonemes import spoken
from test_api import with_session

TEXT = "Mama and Papa maybe bought the purple pumpkin from a Bombay market."
#: A frame is seen for 40 ms; audio and mouth may be so far apart, seconds.
NEAR = 0.06


def loud_from(samples, rate):
    """The second in which audio begins."""
    step = rate // 200
    levels = [numpy.sqrt((samples[at : at + step] ** 2).mean()) for at in range(0, len(samples) - step, step)]
    return next(at for at, level in enumerate(levels) if level > 0.02) / 200


def test_lips_close_with_the_sounds_that_close_them(server):
    async def job(http, session):
        await ordered(http, server, "record", sessionid=session.id, type="start_record")
        await ordered(http, server, "human", sessionid=session.id, type="echo", text=TEXT)
        await session.until("speech", lambda: session.loud())
        start = session.audio[-1][0]
        await session.until("the end", lambda: session.audio[-1][0] > start + 6 * RATE)
        await ordered(http, server, "record", sessionid=session.id, type="end_record")

    with_session(server, job)
    with av.open(str(server.folder / "data" / "record.mp4")) as film:
        first, rate, samples = None, None, []
        for frame in film.decode(audio=0):
            first, rate = frame.time if first is None else first, frame.sample_rate
            samples.append(frame.to_ndarray().reshape(-1))
    heard = first + loud_from(numpy.concatenate(samples), rate)
    with av.open(str(server.folder / "data" / "record.mp4")) as film:
        frames = [(frame.time, mouth(frame.to_ndarray(format="gray"))) for frame in film.decode(video=0)]

    audio, rate, phonemes = spoken(TEXT)
    begin = heard - loud_from(audio, rate)

    def shares(since, until):
        """What is seen from then to then, a frame's length included."""
        return [share for at, share in frames if since - NEAR - 0.04 < at - begin < until + NEAR]

    closed = [min(shares(since, until)) < 0.02 for since, until, name in phonemes if name[0] in "mbp"]
    opened = [max(shares(since, until)) > 0.15 for since, until, name in phonemes if name[0] in "aɑɐ"]
    print(f"closed at {sum(closed)} of {len(closed)} m, b and p, open at {sum(opened)} of {len(opened)} a")
    assert len(closed) >= 14 and sum(closed) >= 0.9 * len(closed)
    assert len(opened) >= 5 and sum(opened) >= 0.8 * len(opened)
