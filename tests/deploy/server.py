"""What the server of this tree has."""

import os
import tomllib

import pytest

from chart import ROOT

# Sections and keys with their defaults.
SETTINGS = tomllib.loads((ROOT / "deploy/config.sample.toml").read_text())
# Before the server has it, all roles must be in one process.
HAS_BUS = "bus" in SETTINGS

needs_bus = pytest.mark.skipif(not HAS_BUS, reason="this server has no [bus]: its roles run in one process alone")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="pods are network and mount namespaces, which only root makes")


def is_known(variable):
    """Whether the server takes a setting of this name."""
    return HAS_BUS or not variable.startswith("ROTUNDA__BUS__")
