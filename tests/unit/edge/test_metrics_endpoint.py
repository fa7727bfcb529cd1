"""The HTTP endpoint of the metrics: what it shows, and what clients that mean ill can take from others."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from cors_authz.edge.metrics.catalogue import AUDIT_QUEUE
from cors_authz.edge.metrics.endpoint import MetricsEndpoint
from cors_authz.edge.metrics.http_server import Answer, HttpServer
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.settings_error import SettingsError

ANY_PORT = "127.0.0.1:0"
SECONDS = 10.0


class Got(NamedTuple):
    """An answer as a client has it."""

    status: int
    content_type: str
    body: bytes


def get(address: str, path: str = "/metrics", method: str = "GET", accept: str = "*/*", body: bytes = b"") -> Got:
    with closing(HTTPConnection(address, timeout=SECONDS)) as connection:
        connection.request(method, path, body or None, {"accept": accept})
        response = connection.getresponse()
        return Got(response.status, response.getheader("content-type", ""), response.read())


def broken() -> bytes:
    raise RuntimeError("injected")


@pytest.fixture
def endpoint() -> Iterator[MetricsEndpoint]:
    pages = {"/origins": lambda: b'{"entries":[]}', "/broken": broken}
    endpoint = MetricsEndpoint(ANY_PORT, [lambda: [Sample(AUDIT_QUEUE, (), 5)]], pages)
    endpoint.start()
    yield endpoint
    endpoint.stop()


def test_metrics_are_shown_in_the_format_that_is_asked_for(endpoint: MetricsEndpoint) -> None:
    plain, openmetrics = get(endpoint.address), get(endpoint.address, accept="application/openmetrics-text")
    assert (plain.status, plain.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\ncors_authz_audit_queue_records 5.0\n" in plain.body
    assert (openmetrics.status, openmetrics.content_type) == (
        200,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
    assert openmetrics.body.endswith(b"# EOF\n")


PAGES = {
    "health": ("GET", "/healthz", Got(200, "text/plain; charset=utf-8", b"ok\n")),
    "health with a query": ("GET", "/healthz?verbose=1", Got(200, "text/plain; charset=utf-8", b"ok\n")),
    "a page of JSON": ("GET", "/origins", Got(200, "application/json", b'{"entries":[]}')),
    "the head of a page": ("HEAD", "/origins", Got(200, "application/json", b"")),
    "no such page": (
        "GET",
        "/",
        Got(404, "text/plain; charset=utf-8", b"there are: /metrics /healthz /origins /broken\n"),
    ),
    "a write": ("POST", "/metrics", Got(501, "text/plain; charset=utf-8", b"Server does not support this operation\n")),
    "a page that fails": (
        "GET",
        "/broken",
        Got(500, "text/plain; charset=utf-8", b"this page fails; the log says why\n"),
    ),
}


@pytest.mark.parametrize(("method", "path", "got"), PAGES.values(), ids=PAGES)
def test_each_path_has_its_page(endpoint: MetricsEndpoint, method: str, path: str, got: Got) -> None:
    assert get(endpoint.address, path, method) == got


def test_a_page_that_fails_is_told_of_once(endpoint: MetricsEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    assert [get(endpoint.address, "/broken").status for _ in range(3)] == [500] * 3
    assert caplog.text.count("the page /broken of the metrics endpoint fails") == 1


def test_who_shows_no_metrics_imports_nothing_that_would_show_them() -> None:
    dear = {"prometheus_client", "http.server", "cors_authz.edge.metrics.endpoint"}
    script = f"import sys, cors_authz.cli.serve, cors_authz.edge.watchers; print({dear} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


# --- Where it listens -------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_refused_before_anything_is_served(endpoint: MetricsEndpoint) -> None:
    port = endpoint.address.rpartition(":")[2]
    with pytest.raises(SettingsError) as refused:
        MetricsEndpoint(endpoint.address, [])
    assert str(refused.value) == (
        f"metrics-listen: cannot listen on `127.0.0.1:{port}`: Address already in use; end who has it, or choose"
        " another port, or 0"
    )


def test_a_port_is_free_again_at_once() -> None:
    first = MetricsEndpoint(ANY_PORT, [])
    first.start()
    address = first.address
    assert get(address).status == 200
    first.stop()
    MetricsEndpoint(address, []).stop()


def test_ipv6_addresses_are_listened_on() -> None:
    endpoint = MetricsEndpoint("[::1]:0", [])
    endpoint.start()
    assert get(endpoint.address, "/healthz").status == 200
    endpoint.stop()


def test_an_endpoint_that_nobody_asked_for_a_while_answers_on(endpoint: MetricsEndpoint) -> None:
    time.sleep(0.7)
    assert get(endpoint.address).status == 200


def test_what_never_answered_can_be_stopped_and_leaves_its_port() -> None:
    first = MetricsEndpoint(ANY_PORT, [])
    first.stop()
    second = MetricsEndpoint(first.address, [])
    second.start()
    assert get(first.address).status == 200
    second.stop()


NO_ADDRESSES = {
    "no port": "127.0.0.1",
    "no host": ":8080",
    "a port that is none": "127.0.0.1:http",
    "a port that is too high": "127.0.0.1:65536",
    "a port of other digits": "127.0.0.1:\u0668",
    "IPv6 without brackets": "::1:8080",
    "a Unix socket": "unix:/run/metrics.sock",
    "nothing": "",
}


@pytest.mark.parametrize("address", NO_ADDRESSES.values(), ids=NO_ADDRESSES)
def test_what_is_no_address_is_refused(address: str) -> None:
    told = f"metrics-listen: `{address}` is no address; write host:port, such as 127.0.0.1:8080"
    for make in (lambda: MetricsEndpoint(address, []), lambda: MetricsOptions(listen=address)):
        with pytest.raises(SettingsError) as refused:
            make()
        assert str(refused.value) == told


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"metrics-listen: cannot listen on `192\.0\.2\.1:0`: Cannot assign"):
        MetricsEndpoint("192.0.2.1:0", [])


def test_a_host_that_nobody_can_find_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"metrics-listen: `a\.\.b` is no host that we can find"):
        MetricsEndpoint("a..b:0", [])


def test_each_worker_has_an_address_of_its_own() -> None:
    options = MetricsOptions(listen="[::1]:8080", workers=2)
    assert [options.address(worker) for worker in range(2)] == ["[::1]:8080", "[::1]:8081"]
    assert MetricsOptions(listen=ANY_PORT, workers=2).address(1) == ANY_PORT


def test_ports_beyond_the_last_are_refused() -> None:
    assert MetricsOptions(listen="127.0.0.1:65534", workers=2).address(1) == "127.0.0.1:65535"
    with pytest.raises(SettingsError, match="2 workers need the ports 65535 to 65536, and the highest is 65535"):
        MetricsOptions(listen="127.0.0.1:65535", workers=2)


# --- Clients that mean ill --------------------------------------------------------------------------------------------

Serve: TypeAlias = Callable[..., HttpServer]
Connect: TypeAlias = Callable[..., socket.socket]


class Strict(HttpServer):
    """As the endpoint's, with bounds that a test can reach."""

    connections, most_connections = 2, 4
    crowded_seconds, seconds = 0.2, 1.0


class Patient(Strict):
    """Cuts off none for its age alone."""

    seconds = SECONDS


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as running:

        def serving(answer: Callable[[str, str], Answer], kind: type[HttpServer] = Strict) -> HttpServer:
            server = kind(ANY_PORT, answer)
            server.start()
            running.callback(server.stop)
            return server

        yield serving


def ok(_path: str, _accept: str) -> Answer:
    return Answer(HTTPStatus.OK, b"ok")


@pytest.fixture
def connected() -> Iterator[Connect]:
    with ExitStack() as clients:

        def connect(server: HttpServer, sent: bytes = b"") -> socket.socket:
            host, _, port = server.address.rpartition(":")
            client = clients.enter_context(socket.create_connection((host, int(port)), timeout=SECONDS))
            client.sendall(sent)
            return client

        yield connect


def said(client: socket.socket) -> bytes:
    """Read until the server is done; a reset is an end like any other."""
    got = b""
    with suppress(ConnectionError):
        while chunk := client.recv(65536):
            got += chunk
    return got


def scrapes() -> int:
    return sum("(process_request_thread)" in thread.name for thread in threading.enumerate())


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


class Told(NamedTuple):
    """An answer that the server gives without asking for a page."""

    line: bytes
    body: bytes


BAD_REQUEST = Told(b"HTTP/1.0 400 Bad Request", b"Bad request syntax or unsupported method\n")
TOO_LONG = Told(b"HTTP/1.0 431 Request Header Fields Too Large", b"the head is longer than 8192 bytes\n")
REFUSED = {
    "garbage": (b"\xff" * 100 + b"\r\n\r\n", BAD_REQUEST),
    "a head without end": (b"GET / HTTP/1.1\r\n" + (b"x: " + b"y" * 200 + b"\r\n") * 60, TOO_LONG),
    "more headers than anybody sends": (
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 101,
        Told(TOO_LONG.line, b"got more than 100 headers\n"),
    ),
    "a line without end": (b"GET /" + b"a" * 9000, TOO_LONG),
    "the greeting of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", BAD_REQUEST),
    "HTTP/2": (
        b"PRI * HTTP/2.0\r\n\r\n",
        Told(b"HTTP/1.0 505 HTTP Version Not Supported", b"Cannot fulfill request\n"),
    ),
    "markup": (b"<script>\r\n\r\n", BAD_REQUEST),
}


def told(answer: bytes) -> Told:
    """Take an answer apart; of what is no page, each carries the same headers."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    names = [field.partition(b":")[0].lower() for field in fields]
    assert names == [
        b"date",
        b"cache-control",
        b"x-content-type-options",
        b"connection",
        b"content-type",
        b"content-length",
    ]
    assert {
        b"cache-control: no-store",
        b"x-content-type-options: nosniff",
        b"Content-Type: text/plain; charset=utf-8",
    } < set(fields)
    return Told(line, body)


@pytest.mark.parametrize(("sent", "answer"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused(
    serve: Serve, sent: bytes, answer: Told, connected: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(ok)
    got = said(connected(server, sent))
    # What is still unread when a connection is closed resets it, and the answer may be lost.
    assert not got or told(got) == answer
    assert get(server.address).status == 200
    until(lambda: scrapes() == 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("request_", [b"GET /\r\n\r\n", b"GET //etc HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\n\n"])
def test_old_ways_to_ask_are_answered_as_the_new_one(serve: Serve, request_: bytes, connected: Connect) -> None:
    answer = said(connected(serve(ok), request_))
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")


def test_an_answer_names_no_version_is_kept_nowhere_and_ends_its_connection(endpoint: MetricsEndpoint) -> None:
    with closing(HTTPConnection(endpoint.address, timeout=SECONDS)) as connection:
        connection.request("GET", "/healthz", headers={"connection": "keep-alive"})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        assert parsedate_to_datetime(headers.pop("date")).tzinfo is UTC
        assert headers == {
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "content-type": "text/plain; charset=utf-8",
            "content-length": "3",
        }
        assert response.read() == b"ok\n"
        assert response.will_close


def test_an_answer_to_head_ends_with_its_headers(serve: Serve, connected: Connect) -> None:
    answer = said(connected(serve(ok), b"HEAD / HTTP/1.1\r\n\r\n"))
    assert answer.endswith(b"\r\ncontent-length: 2\r\n\r\n")


def test_all_that_is_accepted_is_told_to_the_page(serve: Serve, connected: Connect) -> None:
    server = serve(lambda path, accept: Answer(HTTPStatus.OK, f"{path} {accept}".encode()))
    client = connected(server, b"GET /a?b=c?d HTTP/1.1\r\naccept: a\r\nACCEPT:b\r\n\r\n")
    assert said(client).endswith(b"\r\n\r\n/a a,b")


def test_a_request_in_small_pieces_is_answered(serve: Serve, connected: Connect) -> None:
    client = connected(serve(ok))
    for byte in b"GET / HTTP/1.1\r\n\r\n":
        client.sendall(bytes([byte]))
    assert said(client).endswith(b"\r\n\r\nok")


def test_who_sends_a_byte_now_and_then_is_cut_off_in_time(serve: Serve, connected: Connect) -> None:
    client, began = connected(serve(ok)), time.monotonic()
    with suppress(OSError):
        while time.monotonic() - began < SECONDS:
            client.sendall(b"G")
            time.sleep(0.1)
    assert 0.9 < time.monotonic() - began < 3
    until(lambda: scrapes() == 0)


def test_who_reads_nothing_is_cut_off_in_time(
    serve: Serve, connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(lambda *_: Answer(HTTPStatus.OK, bytes(32 << 20)))
    client = connected(server, b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: scrapes() == 1)
    until(lambda: scrapes() == 0)
    assert len(said(client)) < 32 << 20
    assert caplog.text == ""


def test_silent_connections_keep_no_scraper_out(serve: Serve, connected: Connect) -> None:
    server = serve(ok, Patient)
    silent = [connected(server) for _ in range(2)]
    time.sleep(Strict.crowded_seconds + 0.1)
    assert get(server.address).status == 200
    assert said(silent[0]) == b""
    silent[1].sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert said(silent[1]).endswith(b"ok")


def test_one_that_was_cut_off_and_cannot_leave_yet_is_not_cut_off_twice(serve: Serve, connected: Connect) -> None:
    began, held = threading.Event(), threading.Event()

    def stuck(_path: str, _accept: str) -> Answer:
        began.set()
        held.wait(SECONDS)
        return Answer(HTTPStatus.OK, b"ok")

    server = serve(stuck, Patient)
    connected(server, b"GET / HTTP/1.1\r\n\r\n")
    until(began.is_set)
    silent = connected(server)
    time.sleep(Strict.crowded_seconds + 0.1)
    for _ in range(2):
        connected(server)
    silent.settimeout(SECONDS / 4)
    assert said(silent) == b""
    held.set()


def test_who_ends_before_the_end_of_the_head_is_answered_at_once(serve: Serve, connected: Connect) -> None:
    server = serve(ok, Patient)
    client, began = connected(server, b"GET / HT"), time.monotonic()
    client.shutdown(socket.SHUT_WR)
    assert told(said(client)) == BAD_REQUEST
    silent = connected(server)
    silent.shutdown(socket.SHUT_WR)
    assert said(silent) == b""
    assert time.monotonic() - began < SECONDS / 2


def test_a_head_is_read_no_further_than_its_bound(serve: Serve, connected: Connect) -> None:
    client, began = connected(serve(ok, Patient), b"GET /" + b"a" * 8200), time.monotonic()
    got = said(client)
    assert not got or told(got) == TOO_LONG
    assert time.monotonic() - began < SECONDS / 2


def test_where_no_descriptor_is_left_the_next_one_is_let_in_once_there_is(serve: Serve, connected: Connect) -> None:
    server = serve(ok)
    client = connected(server)
    assert get(server.address).status == 200
    with socket.socket() as late:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            host, _, port = server.address.rpartition(":")
            late.settimeout(SECONDS)
            late.connect((host, int(port)))
            late.sendall(b"GET / HTTP/1.1\r\n\r\n")
            cpu_began = time.process_time()
            time.sleep(0.4)
            cpu_seconds = time.process_time() - cpu_began
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert said(late).endswith(b"ok")
    assert cpu_seconds < 0.1, "whoever waits for a descriptor takes no core"
    client.close()


def test_a_flood_of_connections_takes_a_bounded_number_of_threads(serve: Serve, connected: Connect) -> None:
    server = serve(ok, Patient)
    server.crowded_seconds = SECONDS
    clients = [connected(server) for _ in range(100)]
    until(lambda: scrapes() >= Strict.most_connections)
    for client in clients[Strict.most_connections :]:
        assert said(client) == b""
    assert scrapes() == Strict.most_connections
    for client in clients:
        client.close()
    until(lambda: said(connected(server, b"GET / HTTP/1.1\r\n\r\n")).endswith(b"ok"))


def test_those_who_were_cut_off_leave_their_place_to_others(serve: Serve, connected: Connect) -> None:
    server = serve(ok, Patient)
    for _ in range(2 * Strict.most_connections):
        connected(server)
        connected(server)
        time.sleep(Strict.crowded_seconds + 0.1)
        assert get(server.address).status == 200


def test_who_was_cut_off_while_a_page_is_made_counts_until_it_has_left(serve: Serve, connected: Connect) -> None:
    held = threading.Event()

    def stuck(_path: str, _accept: str) -> Answer:
        held.wait(SECONDS)
        return Answer(HTTPStatus.OK, b"ok")

    server = serve(stuck, Patient)
    for _ in range(2 * Strict.most_connections):
        connected(server, b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(Strict.crowded_seconds + 0.05)
        assert scrapes() <= Strict.most_connections
    held.set()
    until(lambda: scrapes() == 0)


def test_many_who_come_at_once_wait_to_be_let_in(connected: Connect) -> None:
    server = HttpServer(ANY_PORT, ok)
    waiting = [connected(server, b"GET / HTTP/1.1\r\n\r\n") for _ in range(12)]
    server.start()
    assert [said(client)[-2:] for client in waiting] == [b"ok"] * 12
    server.stop()


def test_pages_are_made_one_at_a_time(serve: Serve, connected: Connect) -> None:
    under_way: list[int] = []
    most: list[int] = []

    def slow(_path: str, _accept: str) -> Answer:
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.05)
        under_way.pop()
        return Answer(HTTPStatus.OK, b"ok")

    server = serve(slow)
    clients = [connected(server, b"GET / HTTP/1.1\r\n\r\n") for _ in range(3)]
    assert [said(client)[-2:] for client in clients] == [b"ok"] * 3
    assert most == [1, 1, 1]


def test_who_waits_too_long_for_a_page_is_told(serve: Serve, connected: Connect) -> None:
    began, held = threading.Event(), threading.Event()

    def stuck(_path: str, _accept: str) -> Answer:
        began.set()
        held.wait(SECONDS)
        return Answer(HTTPStatus.OK, b"ok")

    server = serve(stuck)
    first = connected(server, b"GET / HTTP/1.1\r\n\r\n")
    until(began.is_set)
    second = said(connected(server, b"GET / HTTP/1.1\r\n\r\n"))
    assert second.startswith(b"HTTP/1.0 503 Service Unavailable\r\n")
    assert second.endswith(b"\r\n\r\ntoo many ask at once\n")
    held.set()
    assert said(first).endswith(b"ok")
    assert get(server.address).status == 200


def test_an_answer_that_fails_ends_its_connection_alone(
    serve: Serve, caplog: pytest.LogCaptureFixture, connected: Connect
) -> None:
    def failing(path: str, _accept: str) -> Answer:
        if path == "/broken":
            raise RuntimeError("injected")
        return Answer(HTTPStatus.OK, b"ok")

    server = serve(failing)
    assert [said(connected(server, b"GET /broken HTTP/1.1\r\n\r\n")) for _ in range(2)] == [b"", b""]
    assert get(server.address).body == b"ok"
    assert caplog.text.count("a request to the metrics endpoint failed") == 1


def test_where_no_thread_is_left_the_connection_is_closed_and_the_next_one_is_answered(
    serve: Serve, connected: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(ok)

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert said(connected(server, b"GET / HTTP/1.1\r\n\r\n")) == b""
    assert get(server.address).status == 200


def test_the_end_cuts_off_who_is_connected(connected: Connect) -> None:
    server = HttpServer(ANY_PORT, ok)
    server.start()
    client = connected(server, b"GET")
    until(lambda: scrapes() == 1)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 1
    assert said(client) == b""
    until(lambda: scrapes() == 0)
    with pytest.raises(ConnectionRefusedError):
        connected(server)


def test_scrapes_leave_no_descriptor_and_no_thread_behind(endpoint: MetricsEndpoint) -> None:
    get(endpoint.address)
    until(lambda: scrapes() == 0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        get(endpoint.address, "/healthz")
    until(lambda: scrapes() == 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
