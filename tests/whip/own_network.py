"""A network namespace with an interface and a default route, for peers that offer no loopback address."""

import contextlib
import ctypes
import os
import subprocess

NEW_NETWORK = 0x40000000  # CLONE_NEWNET, unshare(2)
ADDRESS = "10.79.0.1"


@contextlib.contextmanager
def own_network():
    """Runs this thread, and the processes that it starts meanwhile, in a new namespace. Raises OSError if that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "create a network namespace")
        try:
            for command in (
                "link set lo up",
                "link add cable type veth peer name plug",
                f"address add {ADDRESS}/24 dev cable",
                "link set cable up",
                "link set plug up",
                "route add default via 10.79.0.2 dev cable",
            ):
                subprocess.run(["ip", *command.split()], check=True)
            yield ADDRESS
        finally:
            if libc.setns(home, NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "go back to the first network")
    finally:
        os.close(home)
