#!/usr/bin/env python3
"""The smallest renderer: a grey frame that is as bright as its 40 ms of audio are loud. See docs/avatar.md.

    [avatar.face]
    renderer_command = ["python3", "avatar/examples/renderer.py"]
"""

import json
import struct
import sys

hello = json.loads(sys.stdin.buffer.readline())
size = hello["width"] * hello["height"]
samples = 2 * hello["samples"]

# Load the model here. The first frame says that the renderer is ready; then each frame belongs to the 40 ms that were read before it.
pcm = bytes(2 * samples)
while len(pcm) == 2 * samples:
    loudest = max(abs(sample) for sample in struct.unpack(f"<{samples}h", pcm))
    luma = 40 + min(loudest, 32767) // 200
    sys.stdout.buffer.write(bytes([luma]) * size + bytes([128]) * (size // 2))
    sys.stdout.buffer.flush()
    pcm = sys.stdin.buffer.read(2 * samples)
