"""`fmt`: files are settled, or all are left as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cors_authz.cli.main import cli

SETTLED = "apiVersion: cors-authz/v1\nkind: PolicyBundle\n# why\nmetadata: {name: p}\n"
LOOSE = SETTLED.replace("{name: p}", "{ name:  'p' }")
INVALID = SETTLED + "unknown: 1\n"


def fmt(*arguments: object, said: str | bytes = "") -> Result:
    return CliRunner().invoke(cli, ["fmt", *map(str, arguments)], input=said)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def test_a_loose_file_is_settled_and_named(policy: Path) -> None:
    policy.write_text(LOOSE)
    result = fmt(policy)
    assert (result.exit_code, result.stdout, policy.read_text()) == (0, f"{policy}\n", SETTLED)
    result = fmt(policy)
    assert (result.exit_code, result.stdout, policy.read_text()) == (0, "", SETTLED)


def test_a_settled_file_is_not_written(policy: Path) -> None:
    policy.write_text(SETTLED)
    before = policy.stat()
    assert fmt(policy).exit_code == 0
    assert policy.stat() == before


def test_check_writes_nothing_and_ends_with_6_where_a_file_would_change(policy: Path) -> None:
    policy.write_text(LOOSE)
    result = fmt("--check", policy)
    assert (result.exit_code, result.stdout, policy.read_text()) == (6, f"{policy} would change\n", LOOSE)
    policy.write_text(SETTLED)
    assert fmt("--check", policy).exit_code == 0


def test_lines_that_end_as_windows_ends_them_would_change(policy: Path) -> None:
    policy.write_bytes(SETTLED.replace("\n", "\r\n").encode())
    assert fmt("--check", policy).exit_code == 6
    assert fmt(policy).exit_code == 0
    assert policy.read_bytes() == SETTLED.encode()


@pytest.mark.parametrize("text", [INVALID.encode(), b"a: [", b"", b"a: &a [*a]"])
def test_invalid_input_is_refused_with_its_place_and_left_as_it_is(text: bytes, policy: Path) -> None:
    policy.write_bytes(text)
    result = fmt(policy)
    assert (result.exit_code, policy.read_bytes()) == (3, text)
    assert result.stderr.startswith(f"{policy}:")


def test_one_invalid_file_leaves_the_whole_directory_as_it_is(policy: Path) -> None:
    first = policy.with_name("a.yaml")
    first.write_text(LOOSE)
    policy.write_text(INVALID)
    assert fmt(policy.parent).exit_code == 3
    assert (first.read_text(), policy.read_text()) == (LOOSE, INVALID)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_usage_errors(policy: Path) -> None:
    result = fmt(policy)
    assert (result.exit_code, f"`{policy}` does not exist" in result.stderr) == (2, True)
    policy.write_bytes(b"\xff")
    result = fmt(policy)
    assert (result.exit_code, "cannot be read" in result.stderr) == (2, True)


def test_standard_input_goes_to_standard_output() -> None:
    assert (fmt("-", said=LOOSE).exit_code, fmt("-", said=LOOSE).stdout) == (0, SETTLED)
    result = fmt("-", said=INVALID)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("standard input:5:1: CX046 ")
