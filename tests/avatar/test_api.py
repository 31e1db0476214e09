"""The avatar's HTTP API with aiortc as client: what is said is heard, and the mouth moves with it."""

import asyncio
import json
import subprocess
import time

import aiohttp
import av
import numpy
import pytest
from avatar_client import LOUD, RATE, Session, call, espeak, likeness, loudest_frequency, mouth, ordered

TEXT = "Hello, this is a test of the avatar, and it speaks one long sentence."


def with_session(server, job, **options):
    async def run():
        async with aiohttp.ClientSession() as http:
            session = await Session.open(http, server, **options)
            try:
                await session.until("frames", lambda: len(session.frames) > 5 and len(session.audio) > 5)
                await job(http, session)
            finally:
                await session.close()

    asyncio.run(asyncio.wait_for(run(), 90))


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_text_is_heard_and_the_mouth_moves_with_it(server, codec):
    async def job(http, session):
        assert 100000 <= session.id <= 999999
        assert f"{codec.upper()}/90000" in session.sdp
        await ordered(http, server, "human", sessionid=session.id, type="echo", text=TEXT)
        await session.until("speech", lambda: session.loud())
        assert (await call(http, server, "is_speaking", {"sessionid": session.id})) == {"code": 0, "data": True}
        begun = len(session.frames)
        said = espeak(TEXT)
        start = session.loud()[0]
        await session.until("the end of it", lambda: session.audio[-1][0] - start > len(said) + RATE)
        ended = len(session.frames)
        assert (await call(http, server, "is_speaking", {"sessionid": session.id})) == {"code": 0, "data": False}
        await session.until("frames of silence", lambda: len(session.frames) > ended + 10)

        like = likeness(numpy.concatenate(session.pcm), said)
        other = likeness(numpy.concatenate(session.pcm), espeak("Something else was said here, which is not that at all, I believe."))
        print(f"{codec}: likeness to what was said {like:.2f}, to something else {other:.2f}")
        assert like > 0.8 and other < like - 0.1
        openness = [share for _, share in session.frames]
        closed, spoken, after = openness[:5], openness[begun : begun + 50], openness[ended + 5 :]
        print(f"mouth: before {max(closed):.2f}, while speaking {max(spoken):.2f}, after {max(after):.2f}")
        assert max(closed) < 0.02 and max(after) < 0.02
        assert max(spoken) > 0.2 and numpy.std(spoken) > 0.05

    with_session(server, job, codec=codec)


def test_an_interruption_is_heard_within_200_ms(server):
    async def job(http, session):
        long = "One sentence follows another sentence without an end. " * 5
        await ordered(http, server, "human", sessionid=session.id, type="echo", text=long)
        await session.until("speech", lambda: len(session.loud()) > 50)
        asked = session.audio[-1][0]
        await ordered(http, server, "interrupt_talk", sessionid=session.id)
        answered = session.audio[-1][0]
        await session.until("two seconds more", lambda: session.audio[-1][0] > answered + 2 * RATE)
        last = session.loud()[-1]
        print(f"silent {(last - asked) / 48:.0f} ms of audio after the request, {(last - answered) / 48:.0f} ms after the answer")
        assert last - asked < 0.2 * RATE
        assert (await call(http, server, "is_speaking", {"sessionid": session.id}))["data"] is False

        # `interrupt` of a new text drops the old one.
        await ordered(http, server, "human", sessionid=session.id, type="echo", text=long)
        await session.until("speech again", lambda: session.loud()[-1] > last)
        begun = session.audio[-1][0]
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Stop.", interrupt=True)
        await session.until("three seconds more", lambda: session.audio[-1][0] > begun + 3 * RATE)
        assert session.loud()[-1] < begun + 2 * RATE

    with_session(server, job)


@pytest.mark.parametrize("name", ["tone.wav", "tone.mp3", "tone.ogg", "tone.flac", "tone.m4a", "tone.webm"])
def test_an_audio_file_is_played(server, tmp_path, name):
    codec = {"ogg": ["-c:a", "libvorbis"], "webm": ["-c:a", "libopus"]}.get(name.split(".")[1], [])
    make = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=frequency=1000:duration=1.5:sample_rate=44100", "-af", "volume=4"]
    subprocess.run([*make, "-ac", "2", *codec, tmp_path / name], check=True)

    async def job(http, session):
        form = aiohttp.FormData()
        form.add_field("sessionid", str(session.id))
        form.add_field("file", (tmp_path / name).read_bytes(), filename=name)
        async with http.post(f"{server.url}/humanaudio", data=form) as response:
            assert await response.json() == {"code": 0, "msg": "ok"}
        await session.until("the tone", lambda: len(session.loud()) > 60)
        heard = [pcm for (_, level), pcm in zip(session.audio, session.pcm) if level > LOUD]
        frequency = loudest_frequency(numpy.concatenate(heard[10:60]))
        assert abs(frequency - 1000) < 15, frequency
        assert max(share for _, share in session.frames) > 0.1

    with_session(server, job)


def test_a_recording_decodes_and_its_mouth_is_in_time(server):
    file = server.folder / "data" / "record.mp4"

    async def job(http, session):
        # Without a recording the end is no mistake; a second start goes on.
        await ordered(http, server, "record", sessionid=session.id, type="end_record")
        await ordered(http, server, "record", sessionid=session.id, type="start_record")
        await ordered(http, server, "record", sessionid=session.id, type="start_record")
        await asyncio.sleep(1)
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Papa. Papa.")
        await session.until("speech", lambda: session.loud())
        start = session.audio[-1][0]
        await session.until("the end", lambda: session.audio[-1][0] > start + 3 * RATE)
        await ordered(http, server, "record", sessionid=session.id, type="end_record")

    with_session(server, job)
    checked = subprocess.run(["ffmpeg", "-v", "error", "-i", file, "-f", "null", "-"], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,avg_frame_rate:format=duration", "-of", "json", file]
    found = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)
    assert {stream["codec_name"] for stream in found["streams"]} == {"h264", "aac"}
    assert float(found["format"]["duration"]) > 3.5

    loud, open_at = [], []
    with av.open(str(file)) as film:
        for frame in film.decode(audio=0):
            samples = frame.to_ndarray().reshape(-1)
            # In steps of 5 ms.
            for at in range(0, len(samples) - 240, 240):
                if numpy.sqrt((samples[at : at + 240] ** 2).mean()) > 0.02:
                    loud.append(frame.time + at / frame.sample_rate)
    with av.open(str(file)) as film:
        frames = [(frame.time, mouth(frame.to_ndarray(format="gray"))) for frame in film.decode(video=0)]
    open_at = [at for at, share in frames if share > 0.05]
    print(f"audio from {loud[0]:.3f} s, mouth open from {open_at[0]:.3f} s; audio to {loud[-1]:.3f} s, open to {open_at[-1]:.3f} s")
    # A frame is seen for 40 ms.
    assert abs(open_at[0] - loud[0]) < 0.06
    assert -0.06 < open_at[-1] + 0.04 - loud[-1] < 0.12
    assert not list((server.folder / "data").glob("temp*")), "the temporary files are gone"


def test_twenty_sessions_that_come_and_go_leave_nothing(server):
    async def run():
        async with aiohttp.ClientSession() as http:
            before = server.resources()
            sessions = [await Session.open(http, server) for _ in range(20)]
            assert len({session.id for session in sessions}) == 20
            with pytest.raises(RuntimeError, match="^reach max session$"):
                await Session.open(http, server)
            await asyncio.gather(*(session.until("audio", lambda one=session: one.audio, 40) for session in sessions))
            assert server.metric("rotunda_avatar_sessions") == 20
            await asyncio.gather(*(session.close() for session in sessions))
            deadline = time.monotonic() + 60
            # The server's own connection pool and thread pool may be one larger or smaller.
            while server.metric("rotunda_avatar_sessions") > 0 or server.resources()[0] > before[0] + 6:
                assert time.monotonic() < deadline, (before, server.resources(), server.metric("rotunda_avatar_sessions"))
                await asyncio.sleep(0.2)
            after = server.resources()
            print(f"threads, files, children: {before} before, {after} after")
            assert after[1] <= before[1] + 3 and after[2] == before[2]
            # Their places are free.
            again = await Session.open(http, server)
            await again.until("audio", lambda: again.audio)
            await again.close()

    asyncio.run(asyncio.wait_for(run(), 180))


BAD = [
    ("offer", b"", "no JSON object"),
    ("offer", b"{}", "type is missing"),
    ("offer", b'{"sdp": 1, "type": "offer"}', "sdp: write a text"),
    ("offer", b'{"sdp": "v=0", "type": "answer"}', 'type: write "offer"'),
    ("offer", b'{"sdp": "nonsense", "type": "offer"}', "recvonly"),
    ("offer", b'{"sdp": "m=audio 9 nonsense", "type": "offer"}', "offer"),
    ("human", b'{"sessionid": 5, "type": "echo", "text": "x"}', "there is no session 5"),
    ("human", b'{"sessionid": -5, "type": "echo", "text": "x"}', "there is no session -5"),
    ("human", b'{"sessionid": "x", "type": "echo", "text": "x"}', "sessionid"),
    ("human", b'{"sessionid": 5, "type": "sing", "text": "x"}', 'type: write "echo" or "chat"'),
    ("human", b"[1, 2", "no JSON object"),
    ("human", b"\xff\xfe", "no JSON object"),
    ("interrupt_talk", b'{"sessionid": 99999999999999999999}', "sessionid"),
    ("is_speaking", b'{"sessionid": 1}', "there is no session 1"),
    ("set_audiotype", b'{"sessionid": 1, "audiotype": -1}', "audiotype: write"),
    ("record", b'{"sessionid": 1, "type": "pause"}', 'type: write "start_record" or "end_record"'),
    ("humanaudio", b'{"sessionid": 1}', "multipart/form-data"),
    ("no_such_path", b"{}", "no such path"),
]


@pytest.mark.parametrize(("path", "body", "told"), BAD)
def test_bad_input_is_answered_with_code_and_text(server, path, body, told):
    async def run():
        async with aiohttp.ClientSession() as http:
            for prefix in "", "v1/":
                async with http.post(f"{server.url}/{prefix}{path}", data=body) as response:
                    answer = await response.json()
                    assert response.status == 200 and answer["code"] == -1 and set(answer) == {"code", "msg"}, answer
                    assert told in answer["msg"] or path == "no_such_path", answer

    asyncio.run(run())


def test_what_a_session_cannot_do_is_told(server):
    async def job(http, session):
        async def refused(path, **body):
            answer = await call(http, server, path, {"sessionid": session.id, **body})
            assert answer["code"] == -1, answer
            return answer["msg"]

        assert "avatar.chat.url" in await refused("human", type="chat", text="Who are you?")
        assert "nothing in it that can be spoken" in await refused("human", type="echo", text=" ... ")
        assert "20000 characters" in await refused("human", type="echo", text="x" * 20001)
        assert "no clip for audiotype 7" in await refused("set_audiotype", audiotype=7, reinit=True)
        await ordered(http, server, "set_audiotype", sessionid=session.id, audiotype=1, reinit=True)
        await ordered(http, server, "set_audiotype", sessionid=str(session.id), audiotype=0, reinit=False)

        for content, told in (b"", "empty"), (b"this is no audio " * 100, "send WAV"), (b"RIFF" + b"\0" * 5000, "send WAV"):
            form = aiohttp.FormData()
            form.add_field("sessionid", str(session.id))
            form.add_field("file", content, filename="x.wav")
            async with http.post(f"{server.url}/humanaudio", data=form) as response:
                answer = await response.json()
                assert answer["code"] == -1 and told in answer["msg"], answer

        # After all of it the session works.
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Still here.")
        await session.until("speech", lambda: session.loud())

    with_session(server, job)


def test_every_origin_may_call(server):
    async def run():
        headers = {
            "Origin": "http://elsewhere.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-own",
        }
        async with aiohttp.ClientSession() as http:
            async with http.options(f"{server.url}/human", headers=headers) as response:
                assert response.status == 200
                assert response.headers["Access-Control-Allow-Origin"] == "http://elsewhere.example"
                assert "x-own" in response.headers["Access-Control-Allow-Headers"]
            for page in "", "dashboard.html", "webrtcapi.html", "rtcpushapi.html", "echoapi.html":
                async with http.get(f"{server.url}/{page}") as response:
                    assert response.status == 200 and response.content_type == "text/html"
            async with http.get(f"{server.url}/no.html") as response:
                assert response.status == 404

    asyncio.run(run())


def test_a_body_of_more_than_100_mib_is_refused(server):
    async def run():
        form = aiohttp.FormData()
        form.add_field("sessionid", "1")
        form.add_field("file", bytes(100 * 1024 * 1024 + 1), filename="x.wav")
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{server.url}/humanaudio", data=form) as response:
                answer = await response.json()
                assert answer["code"] == -1 and "104857600 bytes" in answer["msg"], answer

    asyncio.run(run())
