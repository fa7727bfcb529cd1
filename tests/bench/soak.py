"""`make soak`: good and bad clients at once for at least ten minutes a transport, in rounds of a fixed number of calls.

The server must stay up, its memory bounded, every answer right, and nothing may be answered OK by accident.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from socket import SO_LINGER, SOL_SOCKET, socket
from struct import pack
from threading import Event
from typing import Final, NamedTuple

import grpc
import orjson

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.edge.clock import monotonic_seconds, now_seconds
from tests.bench import frames
from tests.bench.cpu import memory_bytes
from tests.bench.decisions import QUEUE, THREADS, probe
from tests.bench.estate import Estate
from tests.bench.load import LoadError, Trace, loader
from tests.bench.machine import RESULTS, Cores, MissingError, cores
from tests.bench.servers import CHECK_METHOD, Running, ServerFailedError, full_job, product, serving
from tests.bench.traffic import Check, write_trace
from tests.bench.workspace import SEED, Shop, open_shop

ROUNDS: Final = 75
CHECKS: Final = 8000
RATE: Final = 1000
"""Of good checks: 75 rounds of 8,000 at 1,000 a second are ten minutes, however fast the server is."""

_EACH: Final = 500
_SOME: Final = 50
_MOST_IDLE: Final = 10_000
_RENEWED_ROUNDS: Final = 4
"""The server drops connections whose client answers no ping for 40 s, and memory is compared with all of them open."""
_OVERSIZE: Final = bytes(6_000_000)
_HOPELESS_SECONDS: Final = 0.0003
_PATIENCE_SECONDS: Final = 10.0
_GROWTH_SHARE, _GROWTH_BYTES = 1.25, 16_000_000
_FORGIVEN: Final = {"grpc-status 8"}
"""RESOURCE_EXHAUSTED: a server that is asked too much says so, and Envoy asks another."""


class SoakError(Exception):
    """The server did what it must never do; the message says what."""


class Bad(NamedTuple):
    """What a bad client works with."""

    server: Running
    checks: Sequence[Check]
    random: Random


def main(arguments: Sequence[str]) -> int:
    """Soak one transport after the other; 0 if both stood it."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    try:
        for transport in (QUEUE, THREADS):
            _soak(transport, rounds, cores())
    except MissingError as error:
        _say(f"soak skipped: {error}")
    except (SoakError, LoadError, ServerFailedError) as error:
        _say(f"soak failed: {error}")
        return 1
    return 0


def _soak(transport: str, rounds: int, pinned: Cores) -> None:
    with tempfile.TemporaryDirectory(prefix="cors-authz-soak-") as name, ExitStack() as running:
        folder, begin = Path(name), monotonic_seconds()
        shop = open_shop(Estate(groups=40, origins=200), folder / "shop", int(now_seconds()))
        _raise_file_limit()
        command = product(shop.policy, transport, full_job(folder / "audit"))
        server = running.enter_context(serving(command, pinned, folder, probe(shop)))
        idle = running.enter_context(ExitStack())
        memory, count = [], 0
        for number in range(rounds):
            if number % _RENEWED_ROUNDS == 0:
                idle.close()
                count = _open_idle(server, idle)
            said = _round(server, shop, (folder, pinned), Random(SEED + number))  # noqa: S311 - repeatable, not secret
            memory.append(sum(memory_bytes(server.pid).values()))
            _say(f"{transport}, round {number + 1}/{rounds}: {memory[-1] / 1e6:.0f} MB, {said}")
        hold_memory(memory)
        took = monotonic_seconds() - begin
        _keep(transport, {"rounds": rounds, "seconds": took, "idle": count, "memory_bytes": memory})


def _round(server: Running, shop: Shop, where: tuple[Path, Cores], random: Random) -> str:
    """Let one paced good client and every bad one ask at once; each is bounded by count."""
    folder, pinned = where
    checks = list(shop.traffic.mixed(CHECKS // 2000))
    trace = Trace(write_trace(checks, folder / "trace"), CHECKS)
    bad = Bad(server, checks[:_EACH], random)
    with ThreadPoolExecutor(len(_BAD)) as pool:
        asked = {name: pool.submit(client, bad) for name, client in _BAD.items()}
        report = loader(server.address, trace, pinned, ["-rate", str(RATE), "-limit", "120s"])
        said = {name: future.result() for name, future in asked.items()}
    if report.wrong or report.failed.keys() - _FORGIVEN:
        raise SoakError(f"{report.wrong} answers are wrong, and calls failed: {dict(report.failed)}")
    judge([bad.checks[0]], server.call([bad.checks[0].message]))
    return f"p99 {report.p99_us / 1e3:.1f} ms, {', '.join(f'{name} {text}' for name, text in said.items())}"


def _cancels(bad: Bad) -> str:
    """Start calls and take them back at once; those that were quicker are judged."""
    with grpc.insecure_channel(bad.server.address) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        calls = [check.future(each.message) for each in bad.checks]
        for call in calls:
            call.cancel()
        answered = []
        for each, call in zip(bad.checks, calls, strict=True):
            # So many at once may be more than are taken: those are refused.
            with suppress(grpc.FutureCancelledError, grpc.RpcError):
                answered.append((each, call.result()))
    return judge(*_split(answered))


def _hopeless(bad: Bad) -> str:
    """Give each call 0.3 ms; those that are answered in time are judged."""
    answered = []
    with grpc.insecure_channel(bad.server.address) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        for each in bad.checks:
            with suppress(grpc.RpcError):
                answered.append((each, check(each.message, timeout=_HOPELESS_SECONDS)))
    return judge(*_split(answered))


def _nonsense(bad: Bad) -> str:
    """Send messages that are no CheckRequests, or broken ones: none may be let through."""
    broken = [each.message[: bad.random.randrange(len(each.message))] for each in bad.checks[:_SOME]]
    messages = [b"", *broken, *(bad.random.randbytes(300) for _ in range(_SOME))]
    return _refused(bad.server, messages)


def _oversize(bad: Bad) -> str:
    """Send messages far above the bound: none may be let through."""
    return _refused(bad.server, [_OVERSIZE] * 5)


def _garbage(bad: Bad) -> str:
    """Send what is no HTTP/2: nothing in the answer may be a message."""
    for _ in range(_SOME):
        answer = frames.received(bad.server.address, frames.garbage(bad.random))
        if b"x-cors-authz-decision-id" in answer:
            raise SoakError("garbage was answered with a decision")
    return f"{_SOME}"


def _deaf(bad: Bad) -> str:
    """Ask a lot, take nothing, and stay until every other client of the round has had its time."""
    with frames.connected(bad.server.address) as stream, suppress(OSError):
        calls = (frames.call(2 * number + 1, CHECK_METHOD, bad.checks[number].message) for number in range(100))
        stream.sendall(frames.hello(initial_window=0) + b"".join(calls))
        Event().wait(CHECKS / RATE)
        return "stayed"
    return "was cut off"


_BAD: Final[Mapping[str, Callable[[Bad], str]]] = {
    "cancelled": _cancels,
    "hopeless": _hopeless,
    "nonsense": _nonsense,
    "oversize": _oversize,
    "garbage": _garbage,
    "deaf": _deaf,
}


def _split(answered: Iterable[tuple[Check, bytes]]) -> tuple[list[Check], list[bytes]]:
    pairs = list(answered)
    return [check for check, _ in pairs], [raw for _, raw in pairs]


def judge(checks: Sequence[Check], answers: Sequence[bytes]) -> str:
    """Hold answers against the outcomes that they must have."""
    for check, raw in zip(checks, answers, strict=True):
        if (CheckResponse.FromString(raw).status.code == 0) != (check.outcome == "allow"):
            raise SoakError(f"the answer to {check.outcome} is {CheckResponse.FromString(raw)}")
    return f"{len(answers)} answered"


def _refused(server: Running, messages: Sequence[bytes]) -> str:
    with grpc.insecure_channel(server.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        for message in messages:
            with suppress(grpc.RpcError):
                if CheckResponse.FromString(check(message, timeout=_PATIENCE_SECONDS)).status.code == 0:
                    raise SoakError(f"OK to what nobody may send: {message[:200]!r}")
    return f"{len(messages)} refused"


def _raise_file_limit() -> None:
    """Allow ourselves, and the server that inherits it, as many connections as the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_idle(server: Running, running: ExitStack) -> int:
    """Open connections that say hello and nothing more."""
    count = min(_MOST_IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    for _ in range(count):
        stream: socket = running.enter_context(frames.connected(server.address))
        # Ended by a reset: connections that linger would use up the ports.
        stream.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        stream.sendall(frames.hello())
    return count


def hold_memory(memory: Sequence[int]) -> None:
    """Compare the end with the beginning, once caches are full: a leak goes on, a cache does not."""
    third = max(1, len(memory) // 3)
    first, last = max(memory[:third]), max(memory[-third:])
    if last > first * _GROWTH_SHARE + _GROWTH_BYTES:
        raise SoakError(f"memory grew from {first / 1e6:.0f} to {last / 1e6:.0f} MB")


def _keep(transport: str, result: Mapping[str, object]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"soak-{transport}.json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
