"""What the server of this tree has."""

import os
import tomllib

import pytest

from chart import ROOT

# Sections and keys with their defaults.
SETTINGS = tomllib.loads((ROOT / "deploy/config.sample.toml").read_text())

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="pods are network and mount namespaces, which only root makes")
