"""`fmt`: files are settled, or all are left as they are."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cors_authz.cli.main import cli
from cors_authz.policy.tree import MAX_FILE_BYTES

ROOT = Path(__file__).parents[3]
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


def test_files_that_are_not_there_are_a_usage_error(policy: Path) -> None:
    result = fmt(policy)
    assert (result.exit_code, f"`{policy}` does not exist" in result.stderr) == (2, True)


def test_what_is_no_file_is_refused_and_not_waited_for(policy: Path) -> None:
    policy.write_text(LOOSE)
    pipe = policy.with_name("z.yaml")
    os.mkfifo(pipe)
    result = fmt(policy.parent)
    assert (result.exit_code, policy.read_text()) == (2, LOOSE)
    assert result.stderr.endswith(f"Error: `{pipe}` is no regular file; a policy is read from files alone\n")


TOO_LONG = f"\ufeff{SETTLED}#{'x' * MAX_FILE_BYTES}\n".encode()


@pytest.mark.parametrize(
    ("data", "place"), [(b"\xff", "1:1: CX046 the byte `0xff`"), (TOO_LONG, "1:1: CX046 the file has")]
)
def test_what_check_would_not_read_is_left_as_it_is(data: bytes, place: str, policy: Path) -> None:
    policy.write_bytes(data)
    result = fmt(policy)
    assert (result.exit_code, policy.read_bytes()) == (3, data)
    assert result.stderr.startswith(f"{policy}:{place}")


def test_a_file_is_replaced_in_one_step_and_keeps_its_permissions(policy: Path) -> None:
    policy.write_text(LOOSE)
    policy.chmod(0o640)
    link = policy.with_name("link.yaml")
    link.symlink_to(policy.name)
    with policy.open() as reader:
        assert fmt(link).exit_code == 0
        # Who had it open reads on in the old one.
        assert reader.read() == LOOSE
    assert (policy.read_text(), link.is_symlink()) == (SETTLED, True)
    assert policy.stat().st_mode & 0o777 == 0o640
    assert {file.name for file in policy.parent.iterdir()} == {"policy.yaml", "link.yaml"}


def test_a_file_that_cannot_be_written_stays_whole(policy: Path) -> None:
    policy.write_text(LOOSE)
    limited = f"ulimit -f 0; exec {shlex.quote(sys.executable)} -m cors_authz fmt {shlex.quote(str(policy))}"
    done = subprocess.run(["/bin/sh", "-c", limited], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, policy.read_text()) == (2, "", LOOSE)
    assert f"Error: `{policy}` cannot be written: File too large" in done.stderr
    assert list(policy.parent.iterdir()) == [policy]


def test_standard_input_goes_to_standard_output() -> None:
    assert (fmt("-", said=LOOSE).exit_code, fmt("-", said=LOOSE).stdout) == (0, SETTLED)
    result = fmt("-", said=INVALID)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("standard input:5:1: CX046 ")


@pytest.mark.parametrize("data", [b"\xff", TOO_LONG])
def test_standard_input_that_is_no_policy_is_refused_as_a_file_is(data: bytes) -> None:
    result = fmt("-", said=data)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("standard input:1:1: CX046 the ")


def test_check_of_standard_input_says_whether_it_would_change() -> None:
    loose, settled = fmt("--check", "-", said=LOOSE), fmt("--check", "-", said=SETTLED)
    assert (loose.exit_code, loose.stdout) == (6, "standard input would change\n")
    assert (settled.exit_code, settled.stdout) == (0, "")
