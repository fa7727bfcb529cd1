"""CPU time: what a process burns is what is read, threads and children included."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench.cpu import CpuError, CpuTime, cpu_time, descendants, memory_bytes

_BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time(), flush=True)\ninput()"
_PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BURN!r}])"


@pytest.mark.parametrize("program", [_BURN, _PARENT], ids=["a process", "its child"])
def test_what_a_process_burns_is_read(program: str) -> None:
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        burnt = float(process.stdout.readline())
        read = cpu_time(process.pid)
        process.communicate(b"\n")
    # The parent's own start comes on top.
    assert burnt <= read.scheduled + 0.02
    assert read.scheduled < burnt + 1.0


def test_the_two_counts_must_agree() -> None:
    with pytest.raises(CpuError, match="ended"):
        CpuTime(1.0, 2.0).since(CpuTime(0.9, 1.0))


def test_seconds_since_are_those_of_the_scheduler() -> None:
    assert CpuTime(3.5, 3.4).since(CpuTime(1.0, 1.0)) == 2.5


def test_a_family_is_a_process_and_those_that_it_started() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert {os.getpid(), process.pid} <= set(descendants(os.getpid()))
        assert memory_bytes(process.pid).keys() == {process.pid}
        process.communicate(b"\n")
