"""A version on its way from the process that compiles it: what was written is read, and nothing else passes for it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from cors_authz.edge.compiler import compile_into
from cors_authz.edge.generation import GenerationError, Report, read_generation, write_refusal
from cors_authz.edge.parts import put_together
from cors_authz.edge.policy_files import PolicyFilesError
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.finding import Finding, Place, PolicyError, UnknownEnvironmentError

POLICY = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p, revision: r1}
originGroups:
  web: {origins: ["https://x.example"]}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    allow:
    - {origins: [web], methods: [GET], headers: [x-a]}
"""


def no_pause() -> None:
    return None


@pytest.fixture
def written(tmp_path: Path) -> bytes:
    (tmp_path / "policy.yaml").write_text(POLICY)
    buffer = io.BytesIO()
    compile_into(buffer.write, tmp_path / "policy.yaml", "prod")
    return buffer.getvalue()


def test_a_version_arrives_as_it_was_written(written: bytes) -> None:
    generation = read_generation(io.BytesIO(written), no_pause)
    assert generation.report == Report("p", "r1", "prod", generation.findings)
    policy: CompiledPolicy = put_together(generation.parts, no_pause).value
    assert (policy.name, policy.revision, [group.name for group in policy.groups]) == ("p", "r1", ["api"])


def test_a_version_that_is_cut_off_anywhere_is_none(written: bytes) -> None:
    for end in range(len(written)):
        with pytest.raises(GenerationError, match="what was compiled"):
            read_generation(io.BytesIO(written[:end]), no_pause)


GARBAGE: dict[str, bytes] = {
    "text": b"Traceback (most recent call last):\n" * 9,
    "a huge length": b"\xff\xff\xff\xff",
    "no pickle": b"\0\0\0\3abc\0\0\0\0",
    "something that is no report": b"\0\0\0\4\x80\x05K\x01.\0\0\0\0",
    "nothing": b"",
    "no parts": b"\0\0\0\0",
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_version(said: bytes) -> None:
    with pytest.raises(GenerationError, match="what was compiled"):
        read_generation(io.BytesIO(said), no_pause)


REFUSALS: tuple[Exception, ...] = (
    PolicyError(Finding(Place("p.yaml", line, 1), "CX003", "x") for line in range(1, 3_000)),
    PolicyFilesError("`p` does not exist"),
    UnknownEnvironmentError("no `moon`"),
    GenerationError("Traceback"),
)


@pytest.mark.parametrize("why", REFUSALS, ids=lambda why: type(why).__name__)
def test_a_refusal_arrives_as_what_it_is(why: Exception) -> None:
    buffer = io.BytesIO()
    write_refusal(buffer.write, why)
    with pytest.raises(type(why)) as caught:
        read_generation(io.BytesIO(buffer.getvalue()), no_pause)
    assert (str(caught.value), vars(caught.value)) == (str(why), vars(why))


def test_a_fault_of_the_compiler_is_told_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr("cors_authz.edge.compiler.load_policy", fail)
    (tmp_path / "policy.yaml").write_text(POLICY)
    buffer = io.BytesIO()
    compile_into(buffer.write, tmp_path / "policy.yaml", "prod")
    with pytest.raises(GenerationError, match=r"(?s)Traceback.*RuntimeError: injected"):
        read_generation(io.BytesIO(buffer.getvalue()), no_pause)


def test_who_serves_does_without_all_that_reading_a_policy_takes() -> None:
    program = f"""
import sys
sys.path[:] = {sys.path!r}
import cors_authz.cli.serve, cors_authz.edge.generations, cors_authz.edge.policy_store
print(*sorted({{"pydantic", "yaml", "idna", "publicsuffixlist", "ruamel"}} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True)
    assert said.stdout.split() == []
