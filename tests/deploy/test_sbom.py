"""The software bill of materials is valid CycloneDX and has everything that the lock files name."""

import json
import subprocess
import tomllib

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from chart import ROOT


def written(folder, name="sbom.json"):
    subprocess.run([ROOT / "scripts/sbom", folder / name], check=True, stdout=subprocess.DEVNULL)
    return (folder / name).read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return written(tmp_path_factory.mktemp("sbom"))


@pytest.fixture
def sbom(text):
    return json.loads(text)


def test_it_is_valid(text):
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None


def test_the_same_lock_files_make_the_same_bytes(text, tmp_path):
    assert written(tmp_path) == text


def test_every_locked_crate_is_in_it_with_its_checksum(sbom):
    found = {one["purl"]: one for one in [*sbom["components"], sbom["metadata"]["component"]]}
    for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]:
        one = found[f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"]
        assert one["version"] == package["version"]
        assert [hash["content"] for hash in one.get("hashes", [])] == [package["checksum"]] if "checksum" in package else True


def test_the_pages_and_the_packages_of_the_image_are_in_it(sbom):
    purls = {one["purl"].partition("@")[0] for one in sbom["components"]}
    bundled = json.loads((ROOT / "web/package.json").read_text())["dependencies"]
    assert {f"pkg:npm/{name.replace('@', '%40')}" for name in bundled} <= purls
    assert {f"pkg:deb/debian/{name}?distro=debian-12" for name in (ROOT / "deploy/packages.txt").read_text().split()} <= purls
    assert "pkg:npm/vite" not in purls


def test_everything_is_reached_from_the_server_or_is_for_building(sbom):
    needs = {one["ref"]: one["dependsOn"] for one in sbom["dependencies"]}
    references = {one["bom-ref"] for one in sbom["components"]} | {sbom["metadata"]["component"]["bom-ref"]}
    assert needs.keys() == references
    assert {ref for of in needs.values() for ref in of} <= references
    seen, left = set(), [sbom["metadata"]["component"]["bom-ref"]]
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += needs[one]
    for name in ("str0m", "openh264", "sqlx", "tokio"):
        assert any(ref.startswith(f"pkg:cargo/{name}@") for ref in seen), name


def test_the_image_has_the_same(text):
    assert (ROOT / "target/test-dist/rotunda.cdx.json").read_text() == text
