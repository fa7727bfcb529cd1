"""`export envoy`: what is printed is what the tests run, with its comments; what Envoy would refuse is refused here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cors_authz.cli.main import cli
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, ServiceTls, bootstrap
from cors_authz.envoy.notes import NOTES, SHADOW_NOTES
from cors_authz.envoy.parts import Part

LISTEN, ADMIN = Address("0.0.0.0", 10000), Address("127.0.0.1", 9901)  # noqa: S104 - a listener's address, as data
SERVICE, UPSTREAM = Address("127.0.0.1", 9191), Address("127.0.0.1", 8000)
WHOLE = ("--upstream", "127.0.0.1:8000")
TLS = ("--authz-ca", "/tls/ca.pem")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["export", "envoy", *arguments])


def exported(*arguments: str) -> Any:  # noqa: ANN401 - a configuration
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return yaml.safe_load(result.stdout)


WHOLES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "by default one worker of the service in the clear, and nobody who is told": (
        (),
        bootstrap(LISTEN, [SERVICE], UPSTREAM, ADMIN),
    ),
    "several workers, and a listener of the access log": (
        ("--authz", "authz:9191", "--authz", "authz:9192", "--access-log", "[::1]:9200"),
        bootstrap(
            LISTEN,
            [Address("authz", 9191), Address("authz", 9192)],
            UPSTREAM,
            ADMIN,
            Options(access_logs=Address("::1", 9200)),
        ),
    ),
    "Unix sockets and addresses go together": (
        ("--authz", "unix:/run/a.sock", "--authz", "[::1]:9191"),
        bootstrap(LISTEN, [Address("", 0, "/run/a.sock"), Address("::1", 9191)], UPSTREAM, ADMIN),
    ),
    "TLS, whose certificate names the endpoint": (
        ("--authz", "authz.shop.svc:9191", *TLS),
        bootstrap(
            LISTEN,
            [Address("authz.shop.svc", 9191)],
            UPSTREAM,
            ADMIN,
            Options(authz_tls=ServiceTls("/tls/ca.pem", "authz.shop.svc")),
        ),
    ),
    "TLS on both sides, with another name than that of the endpoints": (
        (
            *("--authz", "10.0.0.1:9191", "--authz", "10.0.0.2:9191", *TLS, "--authz-name", "authz"),
            *("--authz-cert", "/tls/tls.crt", "--authz-key", "/tls/tls.key"),
        ),
        bootstrap(
            LISTEN,
            [Address("10.0.0.1", 9191), Address("10.0.0.2", 9191)],
            UPSTREAM,
            ADMIN,
            Options(authz_tls=ServiceTls("/tls/ca.pem", "authz", "/tls/tls.crt", "/tls/tls.key")),
        ),
    ),
    "TLS to the listener of the access log alone": (
        ("--access-log", "logs.shop.svc:9192", "--access-log-ca", "/tls/ca.pem"),
        bootstrap(
            LISTEN,
            [SERVICE],
            UPSTREAM,
            ADMIN,
            Options(
                access_logs=Address("logs.shop.svc", 9192), access_logs_tls=ServiceTls("/tls/ca.pem", "logs.shop.svc")
            ),
        ),
    ),
    "TLS on both sides to the listener of the access log, with another name than its own": (
        (
            *("--access-log", "10.0.0.1:9192", "--access-log-ca", "/tls/ca.pem", "--access-log-name", "logs"),
            *("--access-log-cert", "/tls/tls.crt", "--access-log-key", "/tls/tls.key"),
        ),
        bootstrap(
            LISTEN,
            [SERVICE],
            UPSTREAM,
            ADMIN,
            Options(
                access_logs=Address("10.0.0.1", 9192),
                access_logs_tls=ServiceTls("/tls/ca.pem", "logs", "/tls/tls.crt", "/tls/tls.key"),
            ),
        ),
    ),
    "the dot that ends a name is in no certificate": (
        ("--authz", "authz.shop.svc.cluster.local.:9191", *TLS),
        bootstrap(
            LISTEN,
            [Address("authz.shop.svc.cluster.local.", 9191)],
            UPSTREAM,
            ADMIN,
            Options(authz_tls=ServiceTls("/tls/ca.pem", "authz.shop.svc.cluster.local")),
        ),
    ),
    "a certificate that names an address": (
        ("--authz", "unix:/run/a.sock", *TLS, "--authz-name", "::1"),
        bootstrap(
            LISTEN,
            [Address("", 0, "/run/a.sock")],
            UPSTREAM,
            ADMIN,
            Options(authz_tls=ServiceTls("/tls/ca.pem", "::1")),
        ),
    ),
    "another time for a check": (
        ("--timeout-ms", "1250"),
        bootstrap(LISTEN, [SERVICE], UPSTREAM, ADMIN, Options(timeout_ms=1250)),
    ),
    "a policy in shadow, before which the upstream speaks for itself": (
        ("--shadow",),
        bootstrap(LISTEN, [SERVICE], UPSTREAM, ADMIN, Options(shadow=True)),
    ),
    "other addresses to listen at": (
        ("--listen", "unix:/run/in.sock", "--admin", "[::1]:0"),
        bootstrap(Address("", 0, "/run/in.sock"), [SERVICE], UPSTREAM, Address("::1", 0)),
    ),
}


@pytest.mark.parametrize("sentence", WHOLES)
def test_a_whole_envoy_is_printed_in_both_forms(sentence: str) -> None:
    arguments, expected = WHOLES[sentence]

    assert exported(*WHOLE, *arguments) == expected
    assert json.loads(run(*WHOLE, *arguments, "--format", "json").stdout) == expected


@pytest.mark.parametrize("mode", [(), ("--shadow",)], ids=["in force", "in shadow"])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_parts_are_those_of_the_whole(form: str, mode: tuple[str, ...]) -> None:
    options = (
        *("--authz", "authz:9191", *TLS, "--timeout-ms", "900", "--access-log", "127.0.0.1:9192"),
        *("--format", form, *mode),
    )
    whole = exported(*WHOLE, *options)["static_resources"]
    manager = whole["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    authz, _, access_log = whole["clusters"]
    parts = {part: exported("--part", part.value, *options) for part in Part}

    assert parts == {
        Part.FILTER: {"http_filters": manager["http_filters"][:1]},
        Part.MANAGER: {name: manager[name] for name in parts[Part.MANAGER]},
        Part.VIRTUAL_HOST: {"response_headers_to_remove": host["response_headers_to_remove"]},
        Part.CLUSTER: {"clusters": [authz, access_log]},
    }
    assert set(manager) - set(parts[Part.MANAGER]) == {
        "@type",
        "stat_prefix",
        "codec_type",
        "route_config",
        "http_filters",
    }


def test_what_is_printed_ends_with_one_line_feed() -> None:
    assert [re.findall(r"\n*\Z", run(*WHOLE, "--format", form).stdout)[0] for form in ("yaml", "json")] == ["\n", "\n"]


def comments(text: str) -> str:
    """Join the comments as they were before they were broken into lines."""
    return " ".join(re.findall(r"^ *# (.*)$", text, flags=re.MULTILINE))


def test_every_note_is_printed_somewhere() -> None:
    said = comments(run(*WHOLE, "--authz", "authz:9191", *TLS, "--access-log", "127.0.0.1:9192").stdout)

    assert [name for name, note in NOTES.items() if note not in said] == []


@pytest.mark.parametrize("what", [WHOLE, ("--part", "virtual-host")], ids=["whole", "part"])
def test_in_shadow_the_note_says_why_the_upstream_speaks_for_itself_and_until_when(what: tuple[str, ...]) -> None:
    name = "response_headers_to_remove"
    in_force, in_shadow = comments(run(*what).stdout), comments(run(*what, "--shadow").stdout)

    assert [note in said for note in (NOTES[name], SHADOW_NOTES[name]) for said in (in_force, in_shadow)] == [
        *(True, False),
        *(False, True),
    ]


def test_the_notes_stand_in_the_parts_too() -> None:
    options = ("--authz", "authz:9191", *TLS, "--access-log", "127.0.0.1:9192")
    said = " ".join(comments(run("--part", part.value, *options).stdout) for part in Part)
    only_whole = {"admin", "enable_reuse_port"}

    assert {name for name, note in NOTES.items() if note not in said} == only_whole


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "TLS to a listener of the access log that is nowhere": (
        (*WHOLE, "--access-log-ca", "ca.pem"),
        "--access-log-ca needs --access-log, which says where",
    ),
    "an authority of the access log whose variable is empty": (
        (*WHOLE, "--access-log", "logs:1", "--access-log-ca", ""),
        "--access-log-name, --access-log-cert and --access-log-key need --access-log-ca, and it names a file",
    ),
    "a certificate for the access log without its key": (
        (*WHOLE, "--access-log", "logs:1", "--access-log-ca", "ca.pem", "--access-log-cert", "c"),
        "--access-log-cert and --access-log-key go together, and each names a file",
    ),
    "TLS to a socket of the access log that names nobody": (
        (*WHOLE, "--access-log", "unix:/run/logs.sock", "--access-log-ca", "ca.pem"),
        "--access-log does not say what the certificate names; say it by --access-log-name",
    ),
    "a whole Envoy without an upstream": ((), "a whole Envoy needs --upstream; --part prints what needs none"),
    "an address that is none": (("--upstream", "nowhere"), "`nowhere` is not an address; write HOST:PORT"),
    "a URL": (("--upstream", "http://up:80"), "`http://up:80` is not an address"),
    "a host with a path": (("--upstream", "up/a:80"), "`up/a:80` names no host"),
    "a host with a blank": (("--upstream", "u p:80"), "`u p:80` names no host"),
    "a host with a line break": (("--upstream", "up\n:80"), "`up\\n:80` is not an address"),
    "a host with a letter that only looks like one of ASCII": (("--upstream", "\u212a:80"), "names no host"),
    "a socket that nobody can write down": (("--authz", "unix:/run/\udcff"), "has characters that no path should have"),
    "a label that no resolver takes": (("--upstream", f"a.{'b' * 64}.c:80"), "at most 63 between dots"),
    "a certified name with such a label": (
        (*WHOLE, *TLS, "--authz-name", "a" * 64),
        "is neither a host name nor an IP",
    ),
    "one address to listen at and for the admin interface": (
        (*WHOLE, "--listen", "[::1]:9901", "--admin", "[0:0::1]:9901"),
        "--listen `[::1]:9901` and --admin `[0:0::1]:9901` are one; choose two",
    ),
    "an address of the admin interface that is among those to listen at": (
        (*WHOLE, "--listen", "0.0.0.0:9901"),
        "--listen `0.0.0.0:9901` and --admin `127.0.0.1:9901` are one; choose two",
    ),
    "an address to listen at that is among those of the admin interface": (
        (*WHOLE, "--listen", "127.0.0.1:80", "--admin", "0.0.0.0:80"),
        "--listen `127.0.0.1:80` and --admin `0.0.0.0:80` are one; choose two",
    ),
    "one socket to listen at and for the admin interface": (
        (*WHOLE, "--listen", "unix:/run/a.sock", "--admin", "unix:///run/a.sock"),
        "--listen `unix:/run/a.sock` and --admin `unix:/run/a.sock` are one; choose two",
    ),
    "a service where Envoy listens": (
        (*WHOLE, "--listen", "127.0.0.1:9191"),
        "--authz `127.0.0.1:9191` leads to --listen `127.0.0.1:9191` of Envoy itself; choose another",
    ),
    "a service among the addresses where Envoy listens": (
        (*WHOLE, "--listen", "0.0.0.0:9191"),
        "--authz `127.0.0.1:9191` leads to --listen `0.0.0.0:9191` of Envoy itself",
    ),
    "one of two services where Envoy listens": (
        (*WHOLE, "--listen", "[::1]:7", "--authz", "127.0.0.1:7", "--authz", "[::1]:7"),
        "--authz `[::1]:7` leads to --listen `[::1]:7` of Envoy itself",
    ),
    "a service at the admin interface": (
        (*WHOLE, "--authz", "0.0.0.0:9901"),
        "--authz `0.0.0.0:9901` leads to --admin `127.0.0.1:9901` of Envoy itself",
    ),
    "an upstream where Envoy listens": (
        ("--upstream", "10.0.0.7:80", "--listen", "10.0.0.7:80"),
        "--upstream `10.0.0.7:80` leads to --listen `10.0.0.7:80` of Envoy itself",
    ),
    "an access log at the socket where Envoy listens": (
        (*WHOLE, "--listen", "unix:/run/a.sock", "--access-log", "unix:///run/a.sock"),
        "--access-log `unix:/run/a.sock` leads to --listen `unix:/run/a.sock` of Envoy itself",
    ),
    "an empty label": (("--upstream", "a..b:80"), "`a..b:80` names no host"),
    "a name that no resolver takes": (("--upstream", "a" * 254 + ":80"), "names no host"),
    "brackets around what is no address": (("--upstream", "[a:b]:80"), "`[a:b]:80` names no host"),
    "an upstream at port 0": (("--upstream", "up:0"), "`up:0` has port 0, at which nobody is reached"),
    "a service at port 0": (("--authz", "127.0.0.1:0"), "`127.0.0.1:0` has port 0, at which nobody is reached"),
    "a socket whose path is too long": (
        ("--authz", "unix:/" + "a" * 107),
        "is longer than the 107 bytes that a socket's path may have",
    ),
    "a name to listen at": (("--listen", "localhost:80"), "`localhost:80` is a name; Envoy listens at an IP address"),
    "a name for the admin interface": (("--admin", "localhost:80"), "`localhost:80` is a name"),
    "a name and a socket": (
        (*WHOLE, "--authz", "authz:9191", "--authz", "unix:/run/a.sock"),
        "Envoy keeps no cluster of a name (`authz:9191`) and a Unix socket (`unix:/run/a.sock`); choose one",
    ),
    "no time": (("--timeout-ms", "0"), "0 is not in the range 50<=x<=60000"),
    "a time that is no number": (("--timeout-ms", "nan"), "'nan' is not a valid integer"),
    "a part that is none": (("--part", "listener"), "'listener' is not one of"),
    "an authority whose variable is empty": ((*WHOLE, "--authz-ca", ""), "need --authz-ca, and it names a file"),
    "a certificate without an authority": (
        (*WHOLE, "--authz-cert", "c", "--authz-key", "k"),
        "--authz-name, --authz-cert and --authz-key need --authz-ca, and it names a file",
    ),
    "a name without an authority": ((*WHOLE, "--authz-name", "authz"), "need --authz-ca"),
    **{
        f"a file that no configuration can name, as {flag}": (
            (*WHOLE, flag, "/tls/\udcff.pem"),
            rf"Invalid value for '{flag}': `/tls/\udcff.pem` has bytes that are not UTF-8",
        )
        for flag in (f"--{end}-{part}" for end in ("authz", "access-log") for part in ("ca", "cert", "key"))
    },
    "a certificate without its key": ((*WHOLE, *TLS, "--authz-cert", "c"), "--authz-cert and --authz-key go together"),
    "a key without its certificate": ((*WHOLE, *TLS, "--authz-key", "k"), "--authz-cert and --authz-key go together"),
    "a certificate and a key whose variables are empty": (
        (*WHOLE, *TLS, "--authz-cert", "", "--authz-key", ""),
        "--authz-cert and --authz-key go together, and each names a file",
    ),
    "a name that is none": ((*WHOLE, *TLS, "--authz-name", "*"), "`*` is neither a host name nor an IP address"),
    "a name whose variable is empty": ((*WHOLE, *TLS, "--authz-name", ""), "`` is neither a host name nor an IP"),
    "TLS over a socket that names nobody": (
        (*WHOLE, *TLS, "--authz", "unix:/run/a.sock"),
        "--authz does not say what the certificate names; say it by --authz-name",
    ),
    "TLS to hosts of several names": (
        (*WHOLE, *TLS, "--authz", "a:1", "--authz", "b:1"),
        "--authz does not say what the certificate names; say it by --authz-name",
    ),
}


JUDGED: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "as it is": ((), []),
    "all that can be said": (
        (
            *("--authz", "authz.shop:9191", *TLS, "--timeout-ms", "50", "--access-log", "10.0.0.3:9192"),
            *("--listen", "unix:/run/in.sock", "--admin", "0.0.0.0:9901"),
        ),
        [],
    ),
    "two addresses of other machines": (("--authz", "10.0.0.1:9191", "--authz", "10.0.0.2:9191"), []),
    "one address of Envoy's own machine": (("--authz", "[::1]:9191"), []),
    "one address of another machine": (("--authz", "10.0.0.1:9191"), ["DR046"]),
    "any address": (("--authz", "0.0.0.0:9191"), ["DR046"]),
    "a policy in shadow": (("--shadow",), ["DR080"]),
}


@pytest.mark.parametrize("sentence", JUDGED)
def test_the_doctor_finds_nothing_but_what_was_asked_for(sentence: str, tmp_path: Path) -> None:
    arguments, codes = JUDGED[sentence]
    (tmp_path / "envoy.yaml").write_text(run(*WHOLE, *arguments).stdout)

    judged = CliRunner().invoke(cli, ["doctor", "--bootstrap", str(tmp_path / "envoy.yaml"), "--format", "json"])

    assert [finding["code"] for finding in json.loads(judged.stdout)] == codes


APART: dict[str, tuple[str, str]] = {
    "ports that the system chooses": ("127.0.0.1:0", "127.0.0.1:0"),
    "other ports": ("127.0.0.1:80", "127.0.0.1:81"),
    "other addresses": ("127.0.0.1:80", "127.0.0.2:80"),
    "an IPv6 socket and an IPv4 socket": ("[::]:80", "127.0.0.1:80"),
    "a Unix socket": ("unix:/run/a.sock", "127.0.0.1:80"),
    "two Unix sockets": ("unix:/run/a.sock", "unix:/run/b.sock"),
}


@pytest.mark.parametrize("sentence", APART)
def test_what_envoy_can_have_both_is_taken(sentence: str) -> None:
    listen, admin = APART[sentence]

    assert run(*WHOLE, "--listen", listen, "--admin", admin).exit_code == 0


ELSEWHERE: dict[str, tuple[str, str]] = {
    "another port": ("0.0.0.0:9191", "127.0.0.1:9192"),
    "another machine at the same port": ("0.0.0.0:9191", "10.0.0.7:9191"),
    "another address of loopback": ("127.0.0.2:9191", "127.0.0.1:9191"),
    "an IPv4 address beside an IPv6 socket": ("[::]:9191", "127.0.0.1:9191"),
    "a name": ("127.0.0.1:9191", "authz:9191"),
    "a Unix socket": ("127.0.0.1:9191", "unix:/run/authz.sock"),
}


@pytest.mark.parametrize("sentence", ELSEWHERE)
def test_a_service_elsewhere_is_taken(sentence: str) -> None:
    listen, authz = ELSEWHERE[sentence]

    assert run(*WHOLE, "--listen", listen, "--authz", authz).exit_code == 0


def test_the_longest_label_is_a_name() -> None:
    assert run("--upstream", f"{'a' * 63}.b:80").exit_code == 0


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_envoy_would_refuse_is_a_usage_error(sentence: str) -> None:
    arguments, why = REFUSED[sentence]

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert why in " ".join(result.stderr.replace("\n", " ").split())
