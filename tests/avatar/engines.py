"""Stand-ins for the HTTP engines: a language model, voices, speech recognition and a webhook. They keep what they were asked."""

import asyncio
import json

import numpy
from aiohttp import web

TONE = 700


class Engines:
    def __init__(self):
        self.chats, self.speeches, self.heard, self.notified, self.times = [], [], [], [], {}
        self.answer = ["I am", " an avatar. I like", " to talk."]
        self.words = "Who are you?"
        self.pause = 0.0

    async def start(self):
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/audio/speech", self.speech)
        app.router.add_post("/speak", self.speak)
        app.router.add_post("/v1/audio/transcriptions", self.transcribe)
        app.router.add_post("/hook", self.hook)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self):
        await self.runner.cleanup()

    async def chat(self, request):
        self.chats.append((await request.json(), request.headers.get("Authorization")))
        if self.answer is None:
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in self.answer:
            chunk = {"choices": [{"delta": {"content": part}}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.times["chunk"] = asyncio.get_running_loop().time()
            await asyncio.sleep(self.pause)
        await response.write(b"data: [DONE]\n\n")
        return response

    async def speech(self, request):
        """OpenAI's form: raw PCM of 24 kHz, a second of a tone for each sentence."""
        body = await request.json()
        self.speeches.append(body)
        return await tone(request, 24000, b"")

    async def speak(self, request):
        """The generic form, as WAV."""
        body = await request.json()
        self.speeches.append(body)
        rate = 8000
        header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0" + rate.to_bytes(4, "little")
        header += (2 * rate).to_bytes(4, "little") + b"\x02\0\x10\0data\xff\xff\xff\x7f"
        return await tone(request, rate, header)

    async def transcribe(self, request):
        form = await request.post()
        self.heard.append((form["model"], form["file"].file.read()))
        return web.json_response({"text": self.words if len(self.heard) == 1 else ""})

    async def hook(self, request):
        self.notified.append(await request.json())
        return web.Response()


async def tone(request, rate, header):
    response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
    await response.prepare(request)
    time = numpy.arange(rate) / rate
    pcm = (numpy.sin(2 * numpy.pi * TONE * time) * 12000).astype("<i2").tobytes()
    await response.write(header)
    # Cut where no sample ends.
    for at in range(0, len(pcm), 4001):
        await response.write(pcm[at : at + 4001])
    return response
