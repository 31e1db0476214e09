"""The image: what `make dist` made, what the Dockerfile says, and the keys of a new cluster. No container engine runs here."""

import pathlib
import re
import stat
import subprocess
import sys
import tomllib

import pytest

from chart import ROOT, containers, render, workloads

DOCKERFILE = ROOT / "deploy/Dockerfile"
DIST = ROOT / "target/test-dist"
# In every Debian image.
BASE = {"libc6", "libgcc-s1", "gcc-12-base"}


def final_stage():
    return DOCKERFILE.read_text().rpartition("\nFROM ")[2]


def test_hadolint_finds_nothing():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], text=True, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stdout


def test_it_is_a_wrapper_around_a_target_of_the_makefile():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = re.findall(r"^RUN make (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert made == ["dist"] and set(made) <= set(targets)
    for copied in re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE.read_text(), re.MULTILINE):
        assert (ROOT / copied).exists(), copied


def test_everything_that_it_copies_from_the_build_is_made():
    taken = re.findall(r"/dist/(\S+)", final_stage())
    assert taken and sorted(taken) == sorted(path.name for path in DIST.iterdir())


def test_versions_are_fixed_and_it_does_not_run_as_root():
    for image in re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE):
        assert re.search(r":[^:]*\d", image), image
    user = re.search(r"^USER (\d+):(\d+)$", final_stage(), re.MULTILINE)
    assert int(user[1]) > 0


def test_the_chart_runs_what_the_image_has(tmp_path):
    user = re.search(r"^USER (\d+):", final_stage(), re.MULTILINE)[1]
    binary = re.search(r'^ENTRYPOINT \["(\S+)"\]', final_stage(), re.MULTILINE)[1]
    for workload in workloads(render()):
        container = containers(workload)[0]
        if container["name"] == "rotunda":
            assert container["command"] == [binary]
            assert workload["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)


def test_its_packages_hold_every_library_of_the_server():
    packages = set((ROOT / "deploy/packages.txt").read_text().split())
    libraries = subprocess.run(["ldd", DIST / "rotunda"], check=True, text=True, stdout=subprocess.PIPE).stdout
    for path in re.findall(r"=> (/\S+)", libraries):
        # dpkg knows files by the name under which they were installed, /lib or /usr/lib.
        names = {path, str(pathlib.Path(path).resolve()), path.removeprefix("/usr"), "/usr" + path}
        found = subprocess.run(["dpkg", "-S", *names], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        owners = {line.split(":")[0] for line in found.splitlines()}
        assert owners & (packages | BASE), f"{path} is in {owners or 'no package'}, which deploy/packages.txt lacks"


@pytest.mark.parametrize("work,text", [
    ("openh264-sys2", "Cisco Systems"),
    ("fdk-aac-sys", "The Fraunhofer FDK AAC Codec Library for Android"),
    ("opusic-sys", "Xiph.Org"),
    ("aws-lc-sys", "OpenSSL"),
    ("libsqlite3-sys", ""),
    ("str0m", ""),
    ("hls.js", "Dailymotion"),
])
def test_the_licences_of_what_is_in_it_are_in_it(work, text):
    licences = (DIST / "THIRD_PARTY_LICENCES.txt").read_text()
    assert re.search(rf"^{re.escape(work)} \d", licences, re.MULTILINE)
    assert text in licences


def test_new_keys_are_random_and_unreadable_for_others(tmp_path):
    made = []
    for name in ("one", "two"):
        subprocess.run([ROOT / "deploy/make-secrets", tmp_path / name], check=True, stdout=subprocess.DEVNULL)
        files = {path.name: path for path in (tmp_path / name).iterdir()}
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files.values())
        keys = tomllib.loads(files.pop("secrets.toml").read_text())
        made.append({**keys, **{name: path.read_text() for name, path in files.items()}})
    one, two = made
    assert [key for key in one if one[key] == two[key]] == ["sdk_app_id"]
    assert all(len(str(value)) >= 10 for value in one.values())


def test_keys_that_exist_are_not_replaced(tmp_path):
    done = subprocess.run([ROOT / "deploy/make-secrets", tmp_path], text=True, stderr=subprocess.PIPE)
    assert done.returncode == 1 and "exists already" in done.stderr


def test_the_secret_has_every_key_that_the_chart_refers_to(tmp_path):
    subprocess.run([ROOT / "deploy/make-secrets", tmp_path / "keys"], check=True, stdout=subprocess.DEVNULL)
    made = {path.name for path in (tmp_path / "keys").iterdir()}
    wanted = set()
    for workload in workloads(render()):
        for variable in containers(workload)[0].get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                wanted.add(variable["valueFrom"]["secretKeyRef"]["key"])
        for volume in workload["spec"]["template"]["spec"].get("volumes", []):
            wanted |= {item["key"] for item in volume.get("secret", {}).get("items", [])}
    assert wanted == made
