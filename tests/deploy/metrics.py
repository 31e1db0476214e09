"""The metrics that the server exports, as its source says."""

import functools
import os
import pathlib
import re

from chart import ROOT

MACRO = re.compile(r'\b(counter|gauge|histogram)!\s*\(\s*"(rotunda_\w+)"')
# Labels that Prometheus and the ServiceMonitor add.
OF_THE_TARGET = {"instance", "job", "component", "namespace", "pod"}
# As src/http.rs has it: all others are summaries.
HAS_BUCKETS = re.compile(r"_seconds$")


def sources():
    for at, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ("target", "node_modules", "web", "docs") and not name.startswith(".")]
        yield from (pathlib.Path(at, name) for name in files if name.endswith(".rs"))


@functools.cache
def exported():
    """Name -> (kind, labels)."""
    found = {}
    for path in sources():
        text = path.read_text()
        for macro in MACRO.finditer(text):
            kind, name = macro.groups()
            labels = re.findall(r'"(\w+)"\s*=>', inside_of_parentheses(text, macro.end()))
            assert found.get(name, (kind,))[0] == kind, name
            found[name] = (kind, found.get(name, (kind, set()))[1] | set(labels))
    return found


def inside_of_parentheses(text, begin):
    depth, end = 1, begin
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[begin:end]


@functools.cache
def series():
    """Names of time series -> their labels."""
    found = {"up": set(OF_THE_TARGET)}
    for name, (kind, labels) in exported().items():
        labels = labels | OF_THE_TARGET
        if kind != "histogram":
            found[name] = labels
            continue
        found[f"{name}_sum"] = found[f"{name}_count"] = labels
        if HAS_BUCKETS.search(name):
            found[f"{name}_bucket"] = labels | {"le"}
        else:
            found[name] = labels | {"quantile"}
    return found
