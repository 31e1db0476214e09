"""Chat, voices by HTTP, notifications, a renderer outside: with engines of the test's own."""

import asyncio
import os
import pathlib
import signal
import subprocess
import time

import aiohttp
import numpy
from avatar_client import LOUD, RATE, Session, call, loudest_frequency, ordered
from conftest import ROOT, running
from engines import TONE, Engines


def with_engines(folder, job, seconds=90, **settings):
    async def run():
        engines = await Engines().start()
        try:
            filled = {key: value.replace("ENGINES", engines.url) for key, value in settings.items()}
            # The server starts and stops in other threads: the engines must answer meanwhile.
            manager = running(folder, **filled)
            server = await asyncio.to_thread(manager.__enter__)
            try:
                async with aiohttp.ClientSession() as http:
                    await job(server, engines, http)
            finally:
                await asyncio.to_thread(manager.__exit__, None, None, None)
        finally:
            await engines.stop()

    asyncio.run(asyncio.wait_for(run(), seconds))


CHAT = '{ url = "ENGINES/v1/chat/completions", model = "m", key = "secret" }'


def test_chat_is_answered_sentence_by_sentence_and_told(tmp_path):
    async def job(server, engines, http):
        session = await Session.open(http, server)
        await session.until("audio", lambda: len(session.audio) > 5)
        # The second sentence is not there yet when the first one is spoken.
        engines.pause = 1.5
        sent = asyncio.get_running_loop().time()
        await ordered(http, server, "human", sessionid=session.id, type="chat", text="Who are you?")
        await session.until("the first sentence", lambda: engines.speeches)
        assert engines.speeches[0]["input"] == "I am an avatar." and engines.speeches[0]["response_format"] == "pcm"
        assert engines.times["chunk"] < sent + 3
        begun = time.monotonic()
        await session.until("its audio", lambda: session.loud())
        waited = time.monotonic() - begun
        # The client's jitter buffer has about 100 ms of it.
        print(f"heard {1000 * waited:.0f} ms after the sentence was asked for")
        assert waited < 0.6
        await session.until("the second sentence", lambda: len(engines.speeches) == 2)
        assert engines.speeches[1]["input"] == "I like to talk."
        await session.until("both", lambda: len(session.loud()) > 1.8 * 50)
        heard = [pcm for (_, level), pcm in zip(session.audio, session.pcm) if level > LOUD]
        assert abs(loudest_frequency(numpy.concatenate(heard[5:40])) - TONE) < 15
        body, key = engines.chats[0]
        assert body["stream"] is True and body["model"] == "m" and key == "Bearer secret"
        assert body["messages"][-1] == {"role": "user", "content": "Who are you?"}

        await session.until("notifications", lambda: len(engines.notified) >= 4)
        told = [(one["status"], one["text"]) for one in engines.notified]
        assert told[:4] == [
            ("start", "I am an avatar."), ("end", "I am an avatar."), ("start", "I like to talk."), ("end", "I like to talk."),
        ]
        assert engines.notified[0]["sessionid"] == session.id

        # Interrupted: what the model still says is not spoken.
        engines.speeches.clear()
        await ordered(http, server, "human", sessionid=session.id, type="chat", text="And now?")
        await session.until("the answer", lambda: engines.speeches)
        await ordered(http, server, "interrupt_talk", sessionid=session.id)
        await asyncio.sleep(4)
        assert len(engines.speeches) == 1
        past = [one["content"] for one in engines.chats[1][0]["messages"]]
        assert past[-3:] == ["Who are you?", "I am an avatar. I like to talk.", "And now?"]

        # The model's refusal reaches the client.
        engines.answer = None
        answer = await call(http, server, "human", {"sessionid": session.id, "type": "chat", "text": "Still?"})
        assert answer["code"] == -1 and "404" in answer["msg"] and "no such model" in answer["msg"], answer
        await session.close()

    with_engines(
        tmp_path, job, chat=CHAT, webhook_url="ENGINES/hook",
        speech='{ engine = "openai", url = "ENGINES/v1/audio/speech" }',
    )


def test_the_generic_voice_and_a_renderer_outside(tmp_path):
    renderer = pathlib.Path(ROOT) / "avatar" / "examples" / "renderer.py"

    async def job(server, engines, http):
        session = await Session.open(http, server)
        # The renderer's frames are grey all over, also where the mouth would be: 40 in silence, which is dark.
        await session.until("the renderer's frames", lambda: session.frames and session.frames[-1][1] > 0.99, 20)
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Hello.")
        await session.until("its voice", lambda: session.loud())
        await session.until("bright frames", lambda: session.frames[-1][1] < 0.01)
        assert engines.speeches == [{"text": "Hello.", "voice": "v", "sample_rate": 16000}]
        await session.until("the end", lambda: session.audio[-1][0] > session.loud()[-1] + RATE // 2)
        await session.until("dark frames", lambda: session.frames[-1][1] > 0.99)

        # Without its renderer the avatar shows its own face, and is heard all the same.
        for pid in server.children():
            if b"renderer.py" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        await session.until("the drawn face", lambda: session.frames[-1][1] < 0.05)
        before = len(session.loud())
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Again.")
        await session.until("its voice", lambda: len(session.loud()) > before + 20)
        # It is started again.
        await session.until("the renderer again", lambda: session.frames[-1][1] > 0.99, 30)
        await session.close()

    with_engines(
        tmp_path, job,
        speech='{ engine = "http", url = "ENGINES/speak", voice = "v" }',
        face=f'{{ renderer_command = ["python3", "{renderer}"] }}',
    )


def film(path, colour, sound):
    make = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color={colour}:size=320x240:rate=25:duration=2"]
    if sound:
        make += ["-f", "lavfi", "-i", f"sine=frequency={sound}:sample_rate=44100:duration=2", "-af", "volume=4"]
    subprocess.run([*make, "-c:v", "libx264", "-pix_fmt", "yuv420p", path], check=True)
    return path


def test_the_clip_of_a_state_is_shown_and_heard_while_nobody_speaks(tmp_path):
    idle, wave = film(tmp_path / "idle.mp4", "black", None), film(tmp_path / "wave.mp4", "white", 1500)

    async def job(server, engines, http):
        session = await Session.open(http, server)
        # Dark where the mouth would be: the idle clip.
        await session.until("the idle clip", lambda: session.frames and session.frames[-1][1] > 0.99)
        assert not session.loud()
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Hello.")
        await session.until("the face that speaks", lambda: 0.1 < session.frames[-1][1] < 0.9)
        await session.until("the end", lambda: session.loud() and session.audio[-1][0] > session.loud()[-1] + RATE // 4)
        await session.until("the idle clip again", lambda: session.frames[-1][1] > 0.99)

        await ordered(http, server, "set_audiotype", sessionid=session.id, audiotype=2, reinit=True)
        begun = len(session.audio)
        await session.until("the clip", lambda: session.frames[-1][1] < 0.01)
        # Longer than the clip: it is a loop.
        await session.until("its audio", lambda: sum(level > LOUD for _, level in session.audio[begun:]) > 150)
        heard = [pcm for (_, level), pcm in zip(session.audio[begun:], session.pcm[begun:]) if level > LOUD]
        assert abs(loudest_frequency(numpy.concatenate(heard[20:70])) - 1500) < 15
        assert (await call(http, server, "is_speaking", {"sessionid": session.id}))["data"] is False

        await ordered(http, server, "set_audiotype", sessionid=session.id, audiotype=1, reinit=False)
        await session.until("the idle clip", lambda: session.frames[-1][1] > 0.99)
        await session.close()

    with_engines(
        tmp_path, job, speech='{ engine = "http", url = "ENGINES/speak" }',
        face=f'{{ idle_clip = "{idle}", clips = {{ 2 = "{wave}" }} }}',
    )


def test_a_voice_that_fails_is_told_and_the_next_sentence_is_spoken(tmp_path):
    async def job(server, engines, http):
        session = await Session.open(http, server)
        await session.until("audio", lambda: session.audio)
        await ordered(http, server, "human", sessionid=session.id, type="echo", text="Hello.")
        await session.until("a notification", lambda: engines.notified)
        assert engines.notified[0]["status"] == "end" and "404" in engines.notified[0]["error"]
        assert (await call(http, server, "is_speaking", {"sessionid": session.id}))["data"] is False
        await session.close()

    with_engines(
        tmp_path, job, webhook_url="ENGINES/hook", speech='{ engine = "http", url = "ENGINES/nothing-here" }',
    )
