"""When each phoneme of a text is heard, as espeak-ng's own library tells it. The server only has the program, which does not tell it."""

import ctypes

import numpy

PHONEME = 7


class Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", Id),
    ]


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


def spoken(text, voice="en"):
    """The audio as floats, its rate, and each phoneme as (begin, end, name) in seconds."""
    library = ctypes.CDLL("libespeak-ng.so.1")
    synchronous, phoneme_events_as_ipa = 2, 3
    rate = library.espeak_Initialize(synchronous, 0, None, phoneme_events_as_ipa)
    audio, events = [], []

    def collect(samples, count, told):
        if samples and count:
            audio.append(numpy.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while told[at].type != 0:
            if told[at].type == PHONEME:
                events.append((told[at].audio_position / 1000, told[at].id.string.decode("utf-8", "ignore")))
            at += 1
        return 0

    callback = Callback(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(voice.encode())
    utf8, characters = 1, 1
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, characters, 0, utf8, None, None)
    library.espeak_Synchronize()
    ends = [begin for begin, _ in events[1:]] + [events[-1][0] + 0.1]
    phonemes = [(begin, end, name) for (begin, name), end in zip(events, ends, strict=True) if name]
    return numpy.concatenate(audio) / 32768, rate, phonemes
