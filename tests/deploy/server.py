"""What the server of this tree has."""

import os
import re
import tomllib

import pytest

from chart import ROOT

# Sections and keys with their defaults.
# Settings without a default are in comments: `# push_ca_file = "/etc/rotunda/ca.pem"`.
SETTINGS = tomllib.loads(re.sub(r'(?m)^# (?=[a-z_]+ = ")', "", (ROOT / "deploy/config.sample.toml").read_text()))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="pods are network and mount namespaces, which only root makes")
