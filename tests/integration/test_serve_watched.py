"""The service as others watch it: the metrics of each worker, who asks, and what cannot be watched."""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from cors_authz.edge.transport.interface import CHECK_METHOD
from tests.serving import POLICY_TEXT, ROOT, SECONDS, asked, command, ended, environment, free_ports, started, until

WORKERS = 2
LISTED, UNLISTED = "https://shop.example", "https://evil.example"


class Running(NamedTuple):
    """A service of two workers: where each decides, and where its metrics are."""

    addresses: tuple[str, ...]
    metrics: tuple[str, ...]

    def read(self, worker: int, path: str) -> str:
        """Read a page of a worker."""
        with urllib.request.urlopen(f"http://{self.metrics[worker]}{path}", timeout=SECONDS) as page:
            text: str = page.read().decode()
            return text

    def ask(self, worker: int, origin: str) -> None:
        """Ask a worker for a decision."""
        with grpc.insecure_channel(self.addresses[worker]) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
            check(asked(origin), timeout=SECONDS)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("policy") / "policy.yaml"
    file.write_text(POLICY_TEXT)
    return file


@pytest.fixture(scope="module")
def running(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "log"
    options = ("--workers", str(WORKERS), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
    words = command("serve", "--policy", str(policy), "--drain-seconds", "0", *options)
    with started(words, log, r"decides on (\S+), (\S+) as") as (_, said):
        # Each worker writes lines of its own, some of them after that one.
        told = re.compile(r"worker (\d) .* metrics are read at http://([0-9.:]+)/metrics")
        until(lambda: len(told.findall(log.read_text())) == WORKERS)
        yield Running(said.groups(), tuple(metrics for _, metrics in sorted(told.findall(log.read_text()))))


def test_each_worker_tells_its_own_decisions_and_the_one_revision(running: Running) -> None:
    running.ask(0, LISTED)
    running.ask(1, UNLISTED)
    running.ask(1, UNLISTED)
    allowed = 'cors_authz_decisions_total{group="api",outcome="allow",reason="rule_allowed",shadow="false"} 1.0'
    denied = 'cors_authz_decisions_total{group="api",outcome="deny",reason="origin_not_allowed",shadow="false"} 2.0'
    first, second = (running.read(worker, "/metrics").splitlines() for worker in range(WORKERS))
    assert (allowed in first, denied in first) == (True, False)
    assert (allowed in second, denied in second) == (False, True)
    in_force = 'cors_authz_policy_info{environment="prod",name="shop",revision="r1"} 1.0'
    newest = "cors_authz_policy_newest_in_force 1.0"
    for lines in (first, second):
        assert {in_force, newest} <= set(lines)
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_who_asks_is_read_from_all_workers_by_the_command_line(running: Running, policy: Path) -> None:
    running.ask(0, UNLISTED)
    running.ask(1, UNLISTED)
    before = sum(running.read(worker, "/origins").count(UNLISTED) for worker in range(WORKERS))
    assert before == WORKERS
    told = subprocess.run(
        command("origins", "unknown", "--policy", str(policy), *(f"http://{each}" for each in running.metrics)),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert UNLISTED in told.stdout, told.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_of_metrics_that_is_taken_ends_the_start(policy: Path, workers: int) -> None:
    port = free_ports(workers)
    address = f"127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", port)):
        code, said = ended("--policy", str(policy), "--metrics-listen", address, "--workers", str(workers))
    assert code in {1, 2}
    assert f"metrics-listen: cannot listen on `{address}`: Address already in use" in said
