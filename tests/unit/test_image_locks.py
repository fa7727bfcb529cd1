"""The locks of the image agree with pyproject.toml and constraints.txt; their heads say how they are made anew."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import requires
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final[Mapping[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS: Final = ("requirements.lock", "requirements-build.lock")
_PINNED: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)(.*?)((?: \\\n    --hash=\S+)*)$", re.MULTILINE)


class Pin(NamedTuple):
    """A version, and the digests that its files may have."""

    version: str
    hashes: tuple[str, ...]


def _lock(name: str) -> dict[str, Pin]:
    text = (ROOT / name).read_text()
    return {
        canonicalize_name(name): Pin(version, tuple(re.findall(r"--hash=(\S+)", hashes)))
        for name, version, _, hashes in _PINNED.findall(text)
    }


def _head(name: str) -> str:
    lines = (ROOT / name).read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def _needed(requirements: Iterable[Requirement]) -> Iterator[str]:
    """Follow what is needed here through what is installed."""
    waiting, seen = [(each, frozenset[str]()) for each in requirements], set[tuple[str, frozenset[str]]]()
    while waiting:
        requirement, extras = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        yield key[0]
        if key not in seen:
            seen.add(key)
            waiting += [(Requirement(text), key[1]) for text in requires(key[0]) or ()]


DIRECT: Final = [Requirement(text) for text in PYPROJECT["project"]["dependencies"]]
TOOLS: Final = [
    Requirement(text)
    for text in (
        *PYPROJECT["build-system"]["requires"],
        *PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["dependencies"],
    )
]


@pytest.mark.parametrize("name", LOCKS)
def test_each_version_is_the_one_that_the_tests_run_with(name: str) -> None:
    constraints = _constraints()
    assert {
        package: (pin.version, constraints[package])
        for package, pin in _lock(name).items()
        if package in constraints and pin.version != constraints[package]
    } == {}


def test_the_image_holds_what_is_needed_to_run_and_nothing_else() -> None:
    assert sorted(_lock("requirements.lock")) == sorted(set(_needed(DIRECT)))
    assert set(_lock("requirements.lock")) <= set(_constraints())


@pytest.mark.parametrize(("name", "wanted"), [(LOCKS[0], DIRECT), (LOCKS[1], TOOLS)], ids=LOCKS)
def test_each_version_is_one_that_the_project_takes(name: str, wanted: list[Requirement]) -> None:
    lock = _lock(name)
    assert [
        str(each)
        for each in wanted
        if not each.specifier.contains(lock[canonicalize_name(each.name)].version, prereleases=True)
    ] == []


@pytest.mark.parametrize("name", LOCKS)
def test_each_version_has_digests_and_nothing_stands_beside_them(name: str) -> None:
    lock = _lock(name)
    assert [package for package, pin in lock.items() if not pin.hashes] == []
    assert {
        digest for pin in lock.values() for digest in pin.hashes if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    } == set()
    left = re.sub(r"^#.*$", "", _PINNED.sub("", (ROOT / name).read_text()), flags=re.MULTILINE)
    assert left.strip() == ""


def test_the_command_for_the_tools_names_the_versions_that_the_project_names() -> None:
    named = re.findall(r"[\w-]+==[\d.]+", _head("requirements-build.lock"))
    assert {str(each) for each in TOOLS} <= set(named)
    lock = _lock("requirements-build.lock")
    assert [each for each in named if lock[canonicalize_name(each.split("==")[0])].version != each.split("==")[1]] == []
