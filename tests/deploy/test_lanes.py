"""`scripts/lanes`, by which `make test` runs its suites side by side, on targets that write and fail as they are told."""

import re
import signal
import subprocess
import time

import pytest

from chart import ROOT

LANES = ROOT / "scripts/lanes"
# `good-X` passes, `bad-X` fails. `first` and `second` pass only while both run. `endless` is ended by a signal.
MAKEFILE = """
good-%:
\t@echo $@ says one; echo $@ says two >&2
bad-%:
\t@echo $@ has a reason; exit 3
first second:
\t@touch $@.begun; for n in $$(seq 100); do [ -e first.begun ] && [ -e second.begun ] && exit 0; sleep 0.1; done; exit 1
priority-%:
\t@nice
endless:
\t@touch endless.begun; sleep 600 & echo $$! > endless.child; wait
"""


@pytest.fixture
def lanes(tmp_path):
    (tmp_path / "Makefile").write_text(MAKEFILE)

    def run(*words):
        done = subprocess.run([LANES, *words], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.returncode, done.stdout

    return run


def states(output):
    """The list at the end."""
    return dict(re.findall(r"^([a-z-]+) +(passed|FAILED|not run)\b", output, re.MULTILINE))


def test_all_that_pass_are_a_success(lanes):
    status, output = lanes("good-a good-b", "good-c", "--then", "good-d", "--also", "good-e")
    assert status == 0, output
    assert states(output) == dict.fromkeys(["good-a", "good-b", "good-c", "good-d", "good-e"], "passed")
    assert "failed:" not in output


def test_lanes_of_a_group_run_side_by_side(lanes):
    status, output = lanes("first", "second")
    assert status == 0, output


def test_a_failure_does_not_keep_the_rest_of_its_lane_and_of_its_group_from_running(lanes):
    status, output = lanes("good-a", "--then", "bad-b good-c", "good-d", "--also", "bad-e", "good-f")
    assert status == 1
    assert states(output) == {
        "good-a": "passed", "bad-b": "FAILED", "good-c": "passed", "good-d": "passed", "bad-e": "FAILED", "good-f": "passed",
    }
    assert output.splitlines()[-1] == "failed: bad-b bad-e"


def test_nothing_runs_without_what_it_needs(lanes):
    status, output = lanes("bad-a", "good-b", "--then", "good-c", "--also", "good-d")
    assert status == 1
    assert states(output) == {"bad-a": "FAILED", "good-b": "passed", "good-c": "not run", "good-d": "not run"}
    assert output.splitlines()[-1] == "failed: bad-a"


def test_a_failure_in_a_group_of_one_lane_counts(lanes):
    status, output = lanes("bad-a")
    assert status == 1
    assert "bad-a has a reason" in output and output.splitlines()[-1] == "failed: bad-a"


def test_a_target_that_does_not_exist_has_failed(lanes):
    status, output = lanes("missing", "good-a")
    assert status == 1
    assert states(output) == {"missing": "FAILED", "good-a": "passed"}


def test_the_output_of_each_target_stays_together(lanes, tmp_path):
    names = [f"good-{letter}" for letter in "abcdef"]
    _, output = lanes(" ".join(names[:3]), " ".join(names[3:]))
    for name in names:
        whole = f"{name} says one\n{name} says two\n"
        assert f"{whole}== {name} passed in " in output
        assert (tmp_path / f"target/lanes/{name}.log").read_text() == whole


def test_low_is_the_lowest_priority(lanes):
    _, output = lanes("priority-a low:priority-b", "good-a")
    assert "19\n== priority-b passed" in output
    assert "19\n== priority-a passed" not in output


@pytest.mark.parametrize("words", [[], [""], ["good-a", "--then"], ["good-a", "good-a"], ["--unknown", "good-a"]])
def test_a_wrong_command_line_is_refused(lanes, words):
    status, output = lanes(*words)
    assert status == 2 and output.startswith("lanes: "), output


def test_a_signal_ends_all_that_runs(tmp_path):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    running = subprocess.Popen([LANES, "endless good-a", "good-b"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    child = tmp_path / "endless.child"
    deadline = time.monotonic() + 30
    while not (child.exists() and child.read_text()):
        assert time.monotonic() < deadline, "the target has not begun"
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 128 + signal.SIGTERM
    pid = int(child.read_text())
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], text=True, stdout=subprocess.PIPE).stdout.strip()
    assert state in ("", "Z"), state


def test_the_makefile_runs_every_suite():
    """What `make help` lists as a suite is in `make test`, by itself or by its parts."""
    text = (ROOT / "Makefile").read_text()
    suites = set(re.findall(r"^(test-[a-z-]+):", text, re.MULTILINE))
    [recipe] = re.findall(r"^test:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    run = set(re.findall(r"\btest-[a-z-]+", recipe))
    assert run <= suites, run - suites
    parts = {name: set(re.findall(r"test-[a-z-]+", needs)) for name, needs in re.findall(r"^(test-[a-z-]+):(.*)", text, re.MULTILINE)}
    covered = run | {name for name, needs in parts.items() if needs & suites and needs & suites <= run}
    assert suites <= covered, suites - covered
