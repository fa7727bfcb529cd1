"""`health`: only a service that says SERVING passes; every other answer is one line that says what is the matter."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import click
import grpc
import pytest
from click.testing import CliRunner

from cors_authz.cli.health import health
from cors_authz.cli.main import cli
from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.health import POLICY, SERVICE
from cors_authz.edge.transport.interface import TransportOptions
from tests.contract.test_transport_tls import AUTHORITY, CALLER, OTHER_AUTHORITY, SERVER, STRANGER, Identity, write
from tests.contract.transports import MAKERS, Running, backwards, serve

ROOT: Final = Path(__file__).parents[3]
MAKE: Final = MAKERS["completion queue"]


class Ended(NamedTuple):
    """How the verb ended: its exit code, and the last line that it printed."""

    code: int
    line: str


def asked(*arguments: str, **variables: str) -> Ended:
    done = CliRunner().invoke(cli, ["health", *arguments], env=variables)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return Ended(done.exit_code, done.output.splitlines()[-1])


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(MAKE, "127.0.0.1:0") as served:
        yield served


# --- Answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "unix:{}/socket"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_service_passes_for_as_long_as_it_says_that_it_is_serving(make: Maker, address: str, tmp_path: Path) -> None:
    with serve(make, address.format(tmp_path)) as running:
        at = running.address
        serving = asked("--address", at)
        running.health.say(SERVICE, serving=False)
        draining = asked("--address", at)

    assert serving == Ended(0, f"`{at}` is serving")
    assert draining == Ended(1, f"Error: `{at}` says NOT_SERVING")


def test_the_policy_is_asked_about_by_its_name(running: Running) -> None:
    about_policy = ("--address", running.address, "--service", POLICY)

    running.health.say(POLICY, serving=False)
    told = f"Error: `cors_authz.policy` at `{running.address}` says NOT_SERVING: the newest policy is not in force; "
    assert asked(*about_policy) == Ended(1, told + "the service's log says why")
    running.health.say(POLICY, serving=True)
    assert asked(*about_policy) == Ended(0, f"`cors_authz.policy` at `{running.address}` is serving")


def test_a_name_that_the_service_does_not_know_is_told(running: Running) -> None:
    told = asked("--address", running.address, "--service", "cors_authz.polcy")
    assert told == Ended(1, f"Error: `{running.address}` knows no service `cors_authz.polcy`")


class Foreign(grpc.GenericRpcHandler):
    """A server of others, which answers whatever is asked with the same."""

    def __init__(self, answer: bytes, code: grpc.StatusCode, details: str) -> None:
        self._answer, self._code, self._details = answer, code, details

    def service(self, _call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Take each call."""
        return grpc.unary_unary_rpc_method_handler(self._tell)

    def _tell(self, _message: bytes, context: grpc.ServicerContext) -> bytes:
        if self._code is not grpc.StatusCode.OK:
            context.abort(self._code, self._details)
        return self._answer


class Odd(NamedTuple):
    """What another server may answer, and what is told of it."""

    told: str
    answer: bytes = b""
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""


ODD: Final = {
    "no status": Odd("says UNKNOWN"),
    "that it does not serve": Odd("says NOT_SERVING", b"\x08\x02"),
    "that it does not know the name": Odd("says SERVICE_UNKNOWN", b"\x08\x03"),
    "a status that the protocol has not": Odd("says 7", b"\x08\x07"),
    "a status below zero": Odd("says -1", b"\x08" + b"\xff" * 9 + b"\x01"),
    "bytes that are no message": Odd("answers what is no HealthCheckResponse", b"\x08"),
    "a page of HTML": Odd("answers what is no HealthCheckResponse", b"<html>"),
    "that it has no health": Odd(
        "answers UNIMPLEMENTED: no such method", code=grpc.StatusCode.UNIMPLEMENTED, details="no such method"
    ),
    "what steers a terminal": Odd(
        r"answers PERMISSION_DENIED: \x1b[2J\nserving",
        code=grpc.StatusCode.PERMISSION_DENIED,
        details="\x1b[2J\nserving",
    ),
}


def asked_of(foreign: Foreign, *arguments: str) -> Ended:
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, [foreign])
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        told = asked("--address", address, *arguments)
        server.stop(0).wait()
    return Ended(told.code, told.line.removeprefix("Error: ").replace(f"`{address}`", "it"))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whoever_answers_otherwise_does_not_pass(odd: Odd) -> None:
    assert asked_of(Foreign(odd.answer, odd.code, odd.details)) == Ended(1, f"it {odd.told}")


def test_of_a_policy_that_others_do_not_know_nothing_is_explained() -> None:
    odd = ODD["that it does not know the name"]

    told = asked_of(Foreign(odd.answer, odd.code, odd.details), "--service", POLICY)

    assert told == Ended(1, "`cors_authz.policy` at it says SERVICE_UNKNOWN")


UNKNOWN: Final = {
    "that it does not know the name": (("--service", "shop.Cart"), "it knows no service `shop.Cart`"),
    "that it does not know what has no name": ((), "it answers NOT_FOUND: unknown"),
}


@pytest.mark.parametrize(("arguments", "told"), UNKNOWN.values(), ids=UNKNOWN)
def test_who_knows_nothing_of_it_does_not_pass(arguments: tuple[str, ...], told: str) -> None:
    foreign = Foreign(b"", grpc.StatusCode.NOT_FOUND, "unknown")

    assert asked_of(foreign, *arguments) == Ended(1, told)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_line_names_the_service_that_was_asked_about(odd: Odd) -> None:
    told = asked_of(Foreign(odd.answer, odd.code, odd.details), "--service", "shop.Cart")

    assert told == Ended(1, f"`shop.Cart` at it {odd.told}")


def test_an_answer_without_end_is_not_read() -> None:
    told = asked_of(Foreign(b"\x08\x01" + b"\x12\x80\x10" + bytes(2048), grpc.StatusCode.OK, ""))
    assert told.code == 1
    assert told.line.startswith("it answers RESOURCE_EXHAUSTED: ")


# --- No answer --------------------------------------------------------------------------------------------------------


@contextmanager
def silent() -> Iterator[str]:
    """Listen, and take no connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_service_that_is_silent_is_given_up_in_time() -> None:
    with silent() as address:
        began = monotonic_seconds()
        told = asked("--address", address, "--timeout", "0.2")
        took = monotonic_seconds() - began

    assert told == Ended(1, f"Error: `{address}` gave no answer within 0.2 s")
    assert took < 5


def test_where_nobody_listens_the_cause_is_told(tmp_path: Path) -> None:
    with silent() as free:
        pass
    nowhere = f"unix:{tmp_path}/socket"

    for address, cause in ((free, "Connection refused"), (nowhere, "No such file or directory")):
        told = asked("--address", address)
        assert told.code == 1
        assert re.fullmatch(rf"Error: `{re.escape(address)}` cannot be asked: .{{,120}}", told.line)
        assert told.line.endswith(cause)
        assert "all addresses" not in told.line


def test_a_proxy_for_what_is_outside_is_not_asked(running: Running) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:1")
    assert asked("--address", running.address, **proxies).code == 0


# --- Where it is asked ------------------------------------------------------------------------------------------------


ASKED: Final = {
    "0.0.0.0:9191": "127.0.0.1:9191",
    "[::]:9191": "[::1]:9191",
    "10.0.0.7:9191": "10.0.0.7:9191",
    "authz.example:9191": "authz.example:9191",
    "unix:///run/authz.sock": "unix:/run/authz.sock",
}


@pytest.mark.parametrize(("listens", "is_asked"), ASKED.items())
def test_a_service_is_asked_where_it_listens(listens: str, is_asked: str) -> None:
    context = health.make_context("health", ["--address", listens])
    assert str(context.params["address"]) == is_asked


def test_without_an_address_it_is_that_of_the_service(running: Running) -> None:
    everywhere = f"0.0.0.0:{running.address.rpartition(':')[2]}"
    assert asked(CORS_AUTHZ_LISTEN=everywhere) == Ended(0, f"`{running.address}` is serving")


def test_of_several_workers_at_sockets_the_first_is_asked(tmp_path: Path) -> None:
    with serve(MAKE, f"unix:{tmp_path}/socket-0"):
        of_several = asked("--address", f"unix:{tmp_path}/socket")
        with serve(MAKE, f"unix:{tmp_path}/socket"):
            of_one = asked("--address", f"unix:{tmp_path}/socket")

    assert of_several == Ended(0, f"`unix:{tmp_path}/socket-0` is serving")
    assert of_one == Ended(0, f"`unix:{tmp_path}/socket` is serving")


REFUSED: Final = {
    "no port": (["--address", "localhost"], "`localhost` is not an address"),
    "port 0": (["--address", "127.0.0.1:0"], "has port 0"),
    "a path without its scheme": (["--address", "/run/authz.sock"], "is not an address"),
    "no time": (["--timeout", "0"], "0.0 is not in the range"),
    "a time that is no number": (["--timeout", "nan"], "Invalid value for '--timeout': nan is no time"),
    "an endless time": (["--timeout", "inf"], "inf is not in the range"),
    "a service that no message carries": (["--service", "\udcff"], r"`\udcff` is no name"),
    "a certificate's name that no message carries": (["--tls-ca", "ca", "--tls-name", "a\n"], r"`a\n` is no name"),
    "a name to verify, by nobody": (["--tls-name", "authz"], "tls-ca: TLS is spoken where it is named"),
    "a certificate in the clear": (["--tls-cert", "c", "--tls-key", "k"], "tls-ca: TLS is spoken where it is named"),
    "a certificate without its key": (["--tls-ca", "ca", "--tls-cert", "c"], "tls-cert: a certificate and its key"),
    "a key without its certificate": (["--tls-ca", "ca", "--tls-key", "k"], "tls-cert: a certificate and its key"),
    "an authority that is a folder": (["--tls-ca", "/"], "`/`: no regular file; name a PEM file"),
    "an authority whose name is too long": (["--tls-ca", "a" * 300], "File name too long; name a PEM file"),
    "an authority that is not there": (["--tls-ca", "/nowhere/ca.pem"], "cannot read `/nowhere/ca.pem`: No such file"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_a_mistake_in_usage(arguments: list[str], told: str) -> None:
    code, line = asked(*arguments)
    assert code == 2
    assert told in line


@pytest.mark.parametrize("option", ["--tls-ca", "--tls-cert", "--tls-key"])
def test_a_pipe_is_not_waited_for(option: str, tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(AUTHORITY.pem())
    given = write(tmp_path, CALLER)
    pem = {"--tls-ca": tmp_path / "ca", "--tls-cert": given.certificate, "--tls-key": given.key}
    pipe = pem[option] = tmp_path / "pipe"
    os.mkfifo(pipe)

    done = subprocess.run(
        [sys.executable, "-m", "cors_authz", "health", *(str(word) for pair in pem.items() for word in pair)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: `{pipe}`: no regular file; name a PEM file")


@pytest.mark.parametrize("option", [option for option in health.params if option.name and "tls" in option.name])
def test_what_is_shown_to_the_service_is_not_taken_from_what_it_shows(option: click.Option) -> None:
    variable = f"CORS_AUTHZ_HEALTH_{option.opts[0].removeprefix('--').replace('-', '_').upper()}"
    assert (option.envvar, option.show_envvar) == (variable, True)


@pytest.mark.parametrize("name", ["TLS_CA", "TLS_NAME", "TLS_CERT", "TLS_KEY"])
def test_an_empty_variable_does_not_turn_tls_off(name: str, running: Running) -> None:
    variable, option = f"CORS_AUTHZ_HEALTH_{name}", name.lower().replace("_", "-")
    said = f"Error: {option}: {variable} is set and empty; write a value, or unset it"
    assert asked("--address", running.address, **{variable: ""}) == Ended(2, said)


# --- TLS --------------------------------------------------------------------------------------------------------------


class Files(NamedTuple):
    """The PEM files of a caller."""

    ca: Path
    certificate: Path
    key: Path


def files(folder: Path, authority: Identity, caller: Identity) -> Files:
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.pem())
    pair = write(folder, caller)
    return Files(folder / "ca.pem", pair.certificate, pair.key)


@pytest.fixture
def mutual(tmp_path: Path) -> Iterator[str]:
    """Serve by TLS to callers that AUTHORITY knows."""
    (tmp_path / "service").mkdir()
    (tmp_path / "callers.pem").write_bytes(AUTHORITY.pem())
    tls = replace(write(tmp_path / "service", SERVER), client_ca=tmp_path / "callers.pem")
    with serve(MAKE, "127.0.0.1:0", backwards, TransportOptions(tls=tls)) as served:
        yield served.address


def test_mutual_tls_passes_by_the_name_in_the_certificate(mutual: str, tmp_path: Path) -> None:
    ours = files(tmp_path / "ours", AUTHORITY, CALLER)
    shown = ("--tls-cert", str(ours.certificate), "--tls-key", str(ours.key))
    asks = ("--address", mutual, "--tls-ca", str(ours.ca), "--tls-name", "authz")

    assert asked(*asks, *shown) == Ended(0, f"`{mutual}` is serving")
    assert asked(*asks).code == 1
    assert asked("--address", mutual).code == 1


@pytest.mark.parametrize(
    ("authority", "caller", "name"),
    [(OTHER_AUTHORITY, CALLER, "authz"), (AUTHORITY, STRANGER, "authz"), (AUTHORITY, CALLER, "another")],
    ids=["another authority", "a caller that the service does not know", "another name"],
)
def test_tls_with_others_does_not_pass(
    mutual: str, tmp_path: Path, authority: Identity, caller: Identity, name: str
) -> None:
    theirs = files(tmp_path / "theirs", authority, caller)
    shown = ("--tls-cert", str(theirs.certificate), "--tls-key", str(theirs.key))
    told = asked("--address", mutual, "--tls-ca", str(theirs.ca), "--tls-name", name, *shown)
    assert told.code == 1
    assert told.line.startswith(f"Error: `{mutual}` ")


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    ours, theirs = files(tmp_path / "a", AUTHORITY, CALLER), files(tmp_path / "b", AUTHORITY, STRANGER)
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("no PEM")

    mixed = asked("--tls-ca", str(ours.ca), "--tls-cert", str(ours.certificate), "--tls-key", str(theirs.key))
    assert mixed.code == 2
    assert f"`{ours.ca}`, `{ours.certificate}`, `{theirs.key}`: not an authority's certificate" in mixed.line
    assert asked("--tls-ca", str(no_pem)).line.startswith(f"Error: `{no_pem}`: not an authority's certificate")


# --- As a process -----------------------------------------------------------------------------------------------------


def test_a_probe_that_fails_writes_one_line_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem())
    with serve(MAKE, "127.0.0.1:0") as served:
        words = ["--address", served.address, "--tls-ca", str(tmp_path / "ca.pem"), "--tls-name", "authz"]
        done = subprocess.run(
            [sys.executable, "-m", "cors_authz", "health", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"Error: `{re.escape(served.address)}` cannot be asked: [^\n]*\n", done.stderr)


def test_a_probe_imports_nothing_of_policies_and_of_the_service() -> None:
    script = (
        "import sys, cors_authz.cli.health, cors_authz.edge.health_client;"
        "print({'pydantic', 'yaml', 'cryptography', 'opentelemetry', 'orjson', 'multiprocessing'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
