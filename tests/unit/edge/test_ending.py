"""Ending: which signals end a process, before it serves and while it does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from cors_authz.edge.ending import SIGNALS

BEFORE = "from cors_authz.edge.ending import end_at_once; end_at_once()"
WHILE = "from cors_authz.edge.ending import ended_by_signal, wait_for; ended = ended_by_signal()"


def ends(begin: str, end: str, number: signal.Signals) -> int:
    script = f"import os, sys\n{begin}\nos.kill(os.getpid(), {int(number)})\n{end}"
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode


def test_the_signals_are_those_of_supervisors_terminals_and_terminals_that_go() -> None:
    assert set(SIGNALS) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@pytest.mark.parametrize("number", SIGNALS)
def test_before_anything_is_served_a_signal_has_a_handler_that_ends_the_process(number: signal.Signals) -> None:
    """The kernel drops a signal to the first process of a container that handles none."""
    assert ends(BEFORE, "import time; time.sleep(20)", number) == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
def test_while_it_serves_a_signal_lets_it_come_to_its_end(number: signal.Signals) -> None:
    assert ends(WHILE, "wait_for(ended); sys.exit(7)", number) == 7
