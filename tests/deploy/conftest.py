import os

import pytest

from chart import render_in_parallel
from value_sets import SETS


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def rendered_chart(request):
    if any("values" in item.fixturenames for item in request.session.items):
        render_in_parallel(SETS.values())


@pytest.fixture(scope="session", autouse=True)
def readable_temporary_folders(tmp_path_factory):
    """Pods run as users of their own, which must reach their volumes."""
    os.chmod(tmp_path_factory.getbasetemp(), 0o755)
    os.chmod(tmp_path_factory.getbasetemp().parent, 0o755)
