"""Two instances behind the exported Envoy, under a paced load: restarted, killed, frozen; no request fails."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

import pytest
import yaml
from click.testing import CliRunner

from cors_authz.cli.main import cli
from cors_authz.demo.envoy_process import EnvoyProcess
from cors_authz.demo.upstream import Upstream
from cors_authz.envoy.address import Address
from tests.serving import POLICY_TEXT, SECONDS, command, started, until

LANES: Final = 8
LANE_PAUSE_SECONDS: Final = 0.2
FROZEN_SECONDS: Final = 4.0
ALLOWED: Final = "200 https://shop.example"


class Instance:
    """A service as a process while its `with` block runs, that is started again where it was."""

    def __init__(self, policy: Path, log: Path) -> None:
        self._options = ("--policy", str(policy))
        self._log = log
        self._running = ExitStack()
        self.address = "127.0.0.1:0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)
        self._running.close()

    def start(self) -> None:
        """Start it, and wait until it decides."""
        words = command("serve", *self._options, "--listen", self.address)
        running = started(words, self._log, r"decides on (\S+) as")
        self.process, said = self._running.enter_context(running)
        self.address = said[1]

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait until it is gone."""
        self.process.send_signal(number)
        self.process.wait(SECONDS)


class Load:
    """Requests at a pace, over connections that are kept, while its `with` block runs; `answers` counts them."""

    def __init__(self, envoy: Address) -> None:
        self._envoy = envoy
        self._done = threading.Event()
        self._lanes = [threading.Thread(target=self._run, args=(lane,)) for lane in range(LANES)]
        self.answers: Counter[str] = Counter()

    def __enter__(self) -> Self:
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for lane in self._lanes:
            lane.join()

    def _run(self, lane: int) -> None:
        connection = http.client.HTTPConnection(self._envoy.host, self._envoy.port, timeout=SECONDS)
        due = time.monotonic() + lane * LANE_PAUSE_SECONDS / LANES
        while not self._done.wait(max(0.0, due - time.monotonic())):
            self.answers[_answer(connection)] += 1
            due += LANE_PAUSE_SECONDS
        connection.close()


def _answer(connection: http.client.HTTPConnection) -> str:
    try:
        connection.request("POST", "/", headers={"host": "api.example", "origin": "https://shop.example"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return repr(error)
    return f"{answer.status} {answer.getheader('access-control-allow-origin')}"


class Pair:
    """Two instances, and the Envoy that asks them."""

    def __init__(self, instances: list[Instance], envoy: EnvoyProcess) -> None:
        self.instances = instances
        self.envoy = envoy

    def both_healthy(self) -> bool:
        """Whether Envoy asks both."""
        return self.envoy.admin("/clusters").count("::health_flags::healthy") == len(self.instances) + 1


@contextmanager
def pair(binary: Path, folder: Path) -> Iterator[Pair]:
    with ExitStack() as running:
        upstream = running.enter_context(Upstream())
        policy = folder / "policy.yaml"
        policy.write_text(POLICY_TEXT)
        instances = [running.enter_context(Instance(policy, folder / log)) for log in ("a", "b")]
        envoy = running.enter_context(EnvoyProcess(binary, exported(str(upstream.address), instances), concurrency=2))
        yield Pair(instances, envoy)


def exported(upstream: str, instances: list[Instance]) -> dict[str, object]:
    endpoints = [word for instance in instances for word in ("--authz", instance.address)]
    listening = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    # Five times the usual: a machine that runs other tests too stalls all of its processes for longer than a try has.
    arguments = ["export", "envoy", "--upstream", upstream, "--timeout-ms", "2500", *listening, *endpoints]
    config: dict[str, object] = yaml.safe_load(CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout)
    return config


def restart_one_after_the_other(pair: Pair) -> None:
    for instance in pair.instances:
        instance.end(signal.SIGTERM)
        instance.start()
        until(pair.both_healthy)


def kill_one(pair: Pair) -> None:
    pair.instances[0].end(signal.SIGKILL)
    time.sleep(2)
    pair.instances[0].start()
    until(pair.both_healthy)


def freeze_one(pair: Pair) -> None:
    process = pair.instances[0].process
    process.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)
    process.send_signal(signal.SIGCONT)
    until(pair.both_healthy)


def drain_both(pair: Pair) -> None:
    for instance in pair.instances:
        instance.process.send_signal(signal.SIGTERM)
    # They answer for 2.5 seconds, and say from the first on that they leave.
    time.sleep(1.5)


DISTURBANCES: Final[dict[str, Callable[[Pair], None]]] = {
    "both are restarted, one after the other": restart_one_after_the_other,
    "one is killed": kill_one,
    "one hangs for four seconds": freeze_one,
    "both drain, and still answer": drain_both,
}


@pytest.mark.parametrize("sentence", DISTURBANCES)
def test_no_request_fails(sentence: str, envoy_binary: Path, tmp_path: Path) -> None:
    with pair(envoy_binary, tmp_path) as running:
        until(running.both_healthy)
        with Load(running.envoy.address) as load:
            time.sleep(1)
            DISTURBANCES[sentence](running)

    total = load.answers.total()
    assert load.answers == {ALLOWED: total}
    assert total > 50
