"""Waits for states: facts reach the journal a moment after they happened."""

import time

PATIENCE = 90


def until(read, is_so, what):
    """Reads until it is so, and answers what was read."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = read()
        if is_so(value):
            return value
        assert time.monotonic() < deadline, f"{what}: {value}"
        time.sleep(0.2)
