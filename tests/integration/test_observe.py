"""`cors-authz observe --demo`: all comes up by one command, is watched by what is installed, and ends with it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.serving import SECONDS, environment, free_ports, until

COMMAND: Final = (sys.executable, "-m", "cors_authz", "observe", "--demo")


@pytest.fixture
def running(envoy_binary: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    del envoy_binary
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        port = free_ports(2)
        ports = ("--port", str(port), "--prometheus-port", str(port + 1))
        process = subprocess.Popen(
            (*COMMAND, *ports, *arguments),
            env={**environment(), "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=2 * SECONDS)


def _left_behind(folder: Path) -> list[str]:
    """Give the processes that were started with a file of this folder, and what is left in it."""
    found = [path.name for path in folder.iterdir()]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found += [command] if str(folder) in command else []
    return found


def test_the_first_decision_is_shown_and_nothing_is_left(
    running: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = running("--once")
    output, _ = process.communicate(timeout=2 * SECONDS)
    assert process.returncode == 0, output
    assert re.search(
        r"^✓ GET shop\.localhost:\d+/\*\*  same_origin  \(pages\)  \d+ µs  [0-9a-f]{8}$", output, re.MULTILINE
    )
    assert _left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "a terminal that goes away"])
def test_a_signal_ends_every_part(
    number: signal.Signals, running: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = running()
    assert process.stdout is not None
    _until_decision(process)
    process.send_signal(number)
    process.communicate(timeout=2 * SECONDS)
    assert process.returncode == 0
    assert _left_behind(tmp_path) == []


def test_the_commands_that_it_names_read_what_it_tells(running: Callable[..., subprocess.Popen[str]]) -> None:
    process = running("--lines")
    lines = _until_decision(process)
    for line in process.stdout or ():
        lines.append(line)
        if all(each in "".join(lines) for each in (" from http://evil.localhost", "ingress")):
            break
    decision_id = next(line for line in lines if line.startswith("✓")).split()[-1]
    told = re.findall(r"^cors-authz (.+)$", "".join(lines).replace(" ID ", f" {decision_id} "), re.MULTILINE)
    runs = [
        subprocess.run((*COMMAND[:3], *each.split()), capture_output=True, text=True, env=environment(), check=False)
        for each in told
    ]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=2 * SECONDS)
    assert [run.returncode for run in runs] == [0, 0], runs
    assert "evil.localhost" in runs[0].stdout
    assert "same_origin" in runs[1].stdout
    assert "".join((*lines, rest)).count("The latest trace") > 0
    assert re.search(r"^Ended\. Decisions: [0-9]+ \(allow [0-9]+", rest, re.MULTILINE), rest


def test_no_page_says_that_it_saw_nothing(running: Callable[..., subprocess.Popen[str]]) -> None:
    process = running("--lines")
    lines = _until_decision(process)
    (port,) = re.findall(r"^Envoy +http://127\.0\.0\.1:(\d+)$", "".join(lines), re.MULTILINE)
    for path in ("/", "/seen?of=1"):
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        connection.request("GET", path, headers={"host": f"shop.localhost:{port}"})
        # The upstream repeats what reached it.
        assert json.loads(connection.getresponse().read())["path"] == path
        connection.close()


def _until_decision(process: subprocess.Popen[str]) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith(("✓", "✗")):
            return lines
    raise AssertionError("".join(lines))


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="there is no Prometheus on the PATH")
def test_prometheus_reads_the_metrics(running: Callable[..., subprocess.Popen[str]]) -> None:
    process = running()
    lines = _until_decision(process)
    port = int(re.findall(r"^Prometheus +http://127\.0\.0\.1:(\d+)", "".join(lines), re.MULTILINE)[0])

    def healths() -> set[str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("GET", "/api/v1/targets")
        answer: Any = json.loads(connection.getresponse().read())
        connection.close()
        return {target["health"] for target in answer["data"]["activeTargets"]}

    until(lambda: healths() == {"up"})
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=2 * SECONDS)
    assert process.returncode == 0
