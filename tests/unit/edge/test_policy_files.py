"""The files of a policy on a disk that operators, editors and Kubernetes write to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cors_authz.edge import policy_files as module
from cors_authz.edge.policy_files import PolicyFilesError, fingerprint, policy_files, read_sources
from cors_authz.policy.load import check_policy
from cors_authz.policy.tree import MAX_FILE_BYTES


def names(path: Path) -> list[tuple[str, bytes]]:
    return [(source.name, source.data) for source in read_sources(path)]


def test_a_file_is_named_by_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("other")
    (tmp_path / "policy.yaml").write_text("a")
    assert names(tmp_path / "policy.yaml") == [("policy.yaml", b"a")]


def test_a_directory_is_read_recursively_without_hidden_names_and_other_endings(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yaml",
        "teams/x.yaml",
        ".hidden.yaml",
        ".git/y.yaml",
        ".hidden.yml",
        ".git/y.yml",
        "README.md",
        "d.yaml/z",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    assert names(tmp_path) == [("a.yaml", b"a.yaml"), ("b.yaml", b"b.yaml"), ("teams/x.yaml", b"teams/x.yaml")]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    data = tmp_path / "..2026_11_21"
    data.mkdir()
    (data / "policy.yaml").write_text("a")
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    assert names(tmp_path) == [("policy.yaml", b"a")]
    assert names(tmp_path / "policy.yaml") == [("policy.yaml", b"a")]


class Unreadable(NamedTuple):
    """A path below an empty directory, how it is made, and what is said of it."""

    name: str
    make: Callable[[Path], object]
    said: str


UNREADABLE = {
    "nothing is there": Unreadable("policy.yaml", lambda path: path, "does not exist; name a policy file"),
    "a directory holds no policy": Unreadable("p", Path.mkdir, "holds no policy: no file ends in .yaml"),
    "a directory stands where the file was": Unreadable("policy.yaml", Path.mkdir, "holds no policy"),
    "a link leads nowhere": Unreadable(
        "policy.yaml", lambda path: path.symlink_to("gone"), "is a link that leads nowhere; name"
    ),
    "a link leads to itself": Unreadable("p", lambda path: path.symlink_to("p"), "is a link that leads nowhere; name"),
    "a name is longer than names can be": Unreadable(
        "p" * 300, lambda path: path, "cannot be read: File name too long"
    ),
}


@pytest.mark.parametrize("case", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_named(case: Unreadable, tmp_path: Path) -> None:
    path = tmp_path / case.name
    case.make(path)
    with pytest.raises(PolicyFilesError) as raised:
        read_sources(path)
    assert str(raised.value).startswith(f"`{path}` {case.said}")
    assert fingerprint(path) == ()


MISNAMED = {
    "beside other files": ("p", "p/b.yml"),
    "further down": ("p", "p/teams/x.yml"),
    "in a policy of one file": ("b.yml", "b.yml"),
}


@pytest.mark.parametrize(("named", "file"), MISNAMED.values(), ids=MISNAMED)
def test_a_file_that_would_be_passed_over_is_refused(named: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "p" / "teams").mkdir(parents=True)
    (tmp_path / "p" / "a.yaml").touch()
    (tmp_path / file).touch()
    with pytest.raises(PolicyFilesError) as raised:
        policy_files(tmp_path / named)
    assert str(raised.value) == f"`{tmp_path / file}` would not be read: policy files end in .yaml; rename it"
    (tmp_path / file).rename(tmp_path / file.replace(".yml", ".yaml"))
    assert read_sources(tmp_path / named.replace(".yml", ".yaml"))


def test_a_neighbour_of_the_file_that_is_named_is_none_of_its_policy(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    (tmp_path / "compose.yml").touch()
    assert policy_files(tmp_path / "a.yaml") == (tmp_path / "a.yaml",)


def test_a_dangling_link_in_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("gone")
    with pytest.raises(PolicyFilesError, match=r"`.*/a\.yaml` cannot be read: No such file or directory; check"):
        read_sources(tmp_path)


def test_more_files_than_any_policy_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 2)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").touch()
    assert len(policy_files(tmp_path)) == 2
    (tmp_path / "c.yaml").touch()
    with pytest.raises(PolicyFilesError, match="holds more than 2 policy files"):
        policy_files(tmp_path)


def test_of_fifty_megabytes_little_is_held_and_the_bound_is_told(tmp_path: Path) -> None:
    with (tmp_path / "policy.yaml").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    sources = read_sources(tmp_path)
    assert [len(source.data) for source in sources] == [MAX_FILE_BYTES + 1]
    (finding,) = check_policy(sources)
    assert (finding.code, "1 MiB is the most" in finding.text) == ("CX046", True)


def _rewrite_in_place(file: Path) -> None:
    times = file.stat()
    file.write_text("b")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def _become_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text("a")
    new.replace(file)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content of the same size with the old time": _rewrite_in_place,
    "an atomic replacement by the same content": _replace,
    "permissions that were mended": lambda file: file.chmod(0o600),
    "a file that is gone": Path.unlink,
    "a file that is renamed": lambda file: file.rename(file.with_name("b.yaml")),
    "a file that would be passed over": lambda file: file.with_name("z.yml").touch(),
    "a file that is new": lambda file: file.with_name("z.yaml").touch(),
    "a file that becomes a directory": _become_a_directory,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_fingerprint_shows(change: Callable[[Path], object], tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    change(file)
    assert fingerprint(tmp_path) != before


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yaml")
    with pytest.raises(PolicyFilesError, match="is no regular file"):
        read_sources(tmp_path)


def test_links_that_lead_back_up_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("kind: x\n")
    for name in ("a", "b", "c"):
        (tmp_path / name).symlink_to(tmp_path)
    assert [source.name for source in read_sources(tmp_path)] == ["policy.yaml"]
    assert len(fingerprint(tmp_path)) == 1
