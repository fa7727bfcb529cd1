"""`doctor`: its sources, what it prints in each form, how it ends, and the table of its findings in the documents."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

import pytest
import yaml
from click.testing import CliRunner, Result

from cors_authz.cli import doctor_input
from cors_authz.cli.main import cli
from cors_authz.doctor.catalogue import FAIL_OPEN
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import bootstrap
from cors_authz.policy.finding import Severity
from docs.generated import rules

ROOT: Final = Path(__file__).parents[3]
POLICY: Final = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
resourceGroups:
  api: {match: [{hosts: [api.example]}], allow: []}
"""
MANIFEST: Final = """\
kind: SecurityPolicy
metadata: {name: cors}
spec: {extAuth: {failOpen: true}}
---
kind: HTTPRoute
spec: {hostnames: [old.example]}
"""


def doctor(*options: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["doctor", *options], input=stdin, env={"CORS_AUTHZ_ENVIRONMENT": ""})


def exported(*, fails_open: bool = False, normalizes: bool = True, logs: bool = True) -> str:
    loopback = Address("127.0.0.1", 0)
    config = bootstrap(loopback, [loopback], loopback, loopback)
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0]["typed_config"]["failure_mode_allow"] = fails_open
    manager["normalize_path"] = normalizes
    manager["access_log"] = manager["access_log"] if logs else []
    return yaml.safe_dump(config, sort_keys=False)


def metrics_alone() -> str:
    """Give an Envoy that forwards nothing but questions about itself."""
    own = (
        exported()
        .replace("cluster: upstream", "cluster: prometheus_stats")
        .replace("name: upstream", "name: prometheus_stats")
    )
    config = yaml.safe_load(own)
    config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"].pop(0)
    return yaml.safe_dump(config)


def dumped(text: str) -> str:
    resources = yaml.safe_load(text)["static_resources"]
    admin = "type.googleapis.com/envoy.admin.v3."
    listeners = [{"listener": each} for each in resources["listeners"]]
    clusters = [{"cluster": each} for each in resources["clusters"]]
    sections = [
        {"@type": admin + "ListenersConfigDump", "static_listeners": listeners},
        {"@type": admin + "ClustersConfigDump", "static_clusters": clusters},
    ]
    return json.dumps({"configs": sections})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "envoy.yaml"
    path.write_text(exported())
    return path


class Ends(NamedTuple):
    """What a source holds, the flag that names it, and the exit code."""

    flag: str
    text: str
    code: int


ENDS: Final = {
    "a configuration as it is exported": Ends("--bootstrap", exported(), 0),
    "info alone": Ends("--bootstrap", exported(logs=False), 0),
    "a warning": Ends("--bootstrap", exported(normalizes=False), 6),
    "an error": Ends("--bootstrap", exported(fails_open=True), 6),
    "a dump": Ends("--config-dump", dumped(exported()), 0),
    "a dump with an error": Ends("--config-dump", dumped(exported(fails_open=True)), 6),
    "objects with an error": Ends("--manifests", MANIFEST, 6),
    "a dump as Windows saves it": Ends("--config-dump", "\ufeff" + dumped(exported(fails_open=True)), 6),
    "half of a dump": Ends("--config-dump", dumped(exported())[:2000], 2),
    "a configuration that ends before its filters": Ends("--bootstrap", exported().partition("http_filters:")[0], 6),
    "a tab in a configuration": Ends("--bootstrap", exported().replace("  name:", "\tname:", 1), 2),
    "a listener for metrics alone": Ends("--bootstrap", metrics_alone(), 2),
    "a dump that is no JSON": Ends("--config-dump", "<html>", 2),
    "a dump of something else": Ends("--config-dump", "{}", 2),
    "a dump as a bootstrap": Ends("--bootstrap", dumped(exported()), 2),
    "a bootstrap as a dump": Ends("--config-dump", json.dumps(yaml.safe_load(exported())), 2),
    "a bootstrap that is no YAML": Ends("--bootstrap", "a: [", 2),
    "an empty bootstrap": Ends("--bootstrap", "", 2),
    "objects of another kind": Ends("--manifests", "kind: Deployment\n", 2),
    "objects that are no YAML": Ends("--manifests", "a: [", 2),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_how_it_ends(case: Ends, file: Path) -> None:
    file.write_text(case.text)
    result = doctor(case.flag, str(file))
    assert (result.exit_code, isinstance(result.exception, SystemExit | None)) == (case.code, True), result.output


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_standard_input_is_a_source(case: Ends) -> None:
    assert doctor(case.flag, "-", stdin=case.text).exit_code == case.code


USAGE: Final = {
    "no source": ((), "name one source"),
    "two sources": (("--envoy", "http://127.0.0.1:1", "--bootstrap", "x"), "name one source"),
    "an audit file without a policy": (("--bootstrap", "x", "--audit", "a"), "--audit needs --policy"),
    "a file that is not there": (("--bootstrap", "/nowhere/x"), "cannot be read: No such file or directory"),
    "an address without a scheme": (("--envoy", "127.0.0.1:9901"), "write http://127.0.0.1:9901"),
    "nobody at the address": (("--envoy", "http://127.0.0.1:1"), "cannot be read"),
    "a file as an address": (("--envoy", "file:///etc/passwd"), "is no URL"),
}


@pytest.mark.parametrize("sentence", USAGE)
def test_what_is_no_source_is_a_usage_error(sentence: str) -> None:
    options, said = USAGE[sentence]
    result = doctor(*options)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_a_file_has_a_bound(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_input, "MAX_BYTES", 1 << 8)
    result = doctor("--bootstrap", str(file))
    assert (result.exit_code, "has more than" in result.stderr) == (2, True)


# --- a running Envoy --------------------------------------------------------------------------------------------------


@contextmanager
def serving(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as http.server has it
            """Keep silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_running_envoy_is_asked_for_its_dump() -> None:
    with serving(200, dumped(exported(fails_open=True)).encode()) as (url, asked):
        result = doctor("--envoy", url + "/")
    assert (result.exit_code, asked) == (6, ["/config_dump?include_eds"])
    assert "config_dump: listener ingress > filter envoy.filters.http.ext_authz: `failure_mode_allow" in result.stdout


@pytest.mark.parametrize("way", ["", "/", "/config_dump", "/config_dump?include_eds", "/config_dump?resource=x/"])
def test_an_address_may_name_the_page_too(way: str) -> None:
    with serving(200, dumped(exported()).encode()) as (url, asked):
        result = doctor("--envoy", url + way)
    assert (result.exit_code, asked) == (0, ["/config_dump?include_eds"])


ANSWERS: Final = {
    "nothing": (b"", "Connection aborted: Remote end closed connection without response"),
    "another protocol": (b"\x00\x1b[2J\x07\n", r"Connection aborted: \x00\x1b[2J\x07"),
    "half of what it promises": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        "Connection broken: IncompleteRead(1 bytes read, 99 more expected)",
    ),
    "what it has not packed": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
        "Received response with content-encoding: gzip, but failed to decode it",
    ),
}


@pytest.mark.parametrize("sentence", ANSWERS)
def test_whoever_answers_something_else_is_told_in_one_line(sentence: str) -> None:
    answer, said = ANSWERS[sentence]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=answer_once, args=(listening, answer))
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        result = doctor("--envoy", address)
        thread.join()
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert f"`{address}/config_dump?include_eds` cannot be read: {said}" in line
    assert line.endswith("; name the address of an Envoy's admin interface")


def answer_once(listening: socket.socket, answer: bytes) -> None:
    stream, _ = listening.accept()
    with stream:
        stream.recv(4096)
        stream.sendall(answer)


OTHERS: Final = {
    "another status": (404, b"", "answers 404; name the address of an Envoy's admin interface"),
    "a page": (200, b"<html>", "is no config_dump of an Envoy: it is not JSON"),
    "other JSON": (200, b"[1]", "holds no config_dump of an Envoy"),
    "JSON that nests without end": (200, b"[" * 5_000, "is no config_dump of an Envoy: it is not JSON"),
    "a page without an end": (200, b" " * 20_000, "answers more than 10000 bytes, which is more than is read"),
}


@pytest.mark.parametrize("sentence", OTHERS)
def test_who_is_no_envoy_is_said_to_be_none(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_input, "MAX_DUMP_BYTES", 10_000)
    status, body, said = OTHERS[sentence]
    with serving(status, body) as (url, _):
        result = doctor("--envoy", url)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


# --- what we give ourselves -------------------------------------------------------------------------------------------

EXPORTS: Final = {
    "one endpoint": (),
    "several endpoints": ("--authz", "127.0.0.1:9191", "--authz", "127.0.0.1:9192"),
    "endpoints by name": ("--authz", "cors-authz-headless.cors-authz.svc:9191"),
    "a socket": ("--authz", "unix:/run/authz.sock"),
    "with an access log": ("--access-log", "127.0.0.1:9192"),
    "as JSON": ("--format", "json"),
}


@pytest.mark.parametrize("sentence", EXPORTS)
def test_what_is_exported_has_no_finding(sentence: str) -> None:
    options = ["export", "envoy", "--upstream", "127.0.0.1:8000", *EXPORTS[sentence]]
    text = CliRunner().invoke(cli, options).stdout
    result = doctor("--bootstrap", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    assert result.stderr == "1 of 1 connection managers ask a service: 0 errors, 0 warnings, 0 info\n"


def test_the_demo_has_no_finding() -> None:
    policy = ROOT / "cors_authz" / "demo" / "policy.yaml"
    result = doctor("--bootstrap", "-", "--policy", str(policy), "--environment", "dev", stdin=exported())
    assert (result.exit_code, result.stdout) == (0, ""), result.output


# --- forms ------------------------------------------------------------------------------------------------------------


def test_text_says_the_place_the_reason_and_the_lines_to_change(file: Path) -> None:
    file.write_text(exported(fails_open=True, logs=False))
    line = next(at for at, each in enumerate(file.read_text().splitlines(), 1) if "failure_mode_allow" in each)
    result = doctor("--bootstrap", str(file))
    first, _ = result.stdout.split("\n\n")
    assert first == (
        "DR010 error: an outage lets everything pass\n"
        f"  {file}:{line}: listener ingress > filter envoy.filters.http.ext_authz: `failure_mode_allow: true`\n"
        "  Why: On any gRPC error or timeout Envoy forwards the request unchecked, preflights to the\n"
        "  upstream, too.\n"
        "  Change:\n"
        "    failure_mode_allow: false"
    )
    assert result.stderr == "1 of 1 connection managers ask a service: 1 error, 0 warnings, 1 info\n"


def test_text_lists_ten_places_and_counts_the_others(file: Path) -> None:
    config = yaml.safe_load(exported())
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    manager["route_config"]["virtual_hosts"] = [
        {**host, "name": f"h{n}", "domains": [f"h{n}"], "response_headers_to_remove": []} for n in range(12)
    ]
    file.write_text(yaml.safe_dump(config))
    result = doctor("--bootstrap", str(file))
    assert [line for line in result.stdout.splitlines() if "more places" in line] == [
        "  and in 2 more places, which --format json lists"
    ]
    assert result.stdout.count("virtual host h") == 10


def test_names_do_not_steer_a_terminal(file: Path) -> None:
    config = yaml.safe_load(exported(fails_open=True))
    config["static_resources"]["listeners"][0]["name"] = "in\x1b[2Jgress\n::error::no"
    file.write_text(yaml.safe_dump(config))
    for form in ("text", "github"):
        said = doctor("--bootstrap", str(file), "--format", form).stdout
        assert (r"listener in\x1b[2Jgress\n::error::no" in said, "\x1b" in said) == (True, False)


def test_json_is_a_list_of_whole_findings(file: Path) -> None:
    file.write_text(dumped(exported(fails_open=True)))
    assert json.loads(doctor("--config-dump", str(file), "--format", "json").stdout) == [
        {
            "code": "DR010",
            "severity": "error",
            "title": FAIL_OPEN.title,
            "detail": "`failure_mode_allow: true`",
            "source": str(file),
            "line": None,
            "part": "listener ingress > filter envoy.filters.http.ext_authz",
            "why": FAIL_OPEN.why,
            "fix": FAIL_OPEN.fix,
        }
    ]


def test_json_of_nothing_is_an_empty_list(file: Path) -> None:
    result = doctor("--bootstrap", str(file), "--format", "json")
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_github_and_sarif_name_the_line(file: Path) -> None:
    file.write_text(MANIFEST)
    github = doctor("--manifests", str(file), "--format", "github").stdout.splitlines()
    (run,) = json.loads(doctor("--manifests", str(file), "--format", "sarif").stdout)["runs"]
    codes = [result["ruleId"] for result in run["results"]]
    assert github[0].startswith(f"::error file={file},line=3,col=1,title=DR010::SecurityPolicy cors: an outage")
    assert (len(github), codes) == (3, ["DR010", "DR062", "DR080"])


# --- with a policy ----------------------------------------------------------------------------------------------------


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def found(*options: str) -> list[tuple[str, str]]:
    findings = json.loads(doctor(*options, "--environment", "prod", "--format", "json").stdout)
    return [(each["code"], each["detail"]) for each in findings]


def test_hosts_are_held_against_the_policy(file: Path, policy: Path) -> None:
    file.write_text(exported().replace("'*'", "old.example"))
    assert found("--bootstrap", str(file), "--policy", str(policy)) == [
        ("DR090", "`old.example`"),
        ("DR091", "`api.example`"),
    ]


def test_a_host_of_the_policy_is_named_in_its_file(file: Path, policy: Path) -> None:
    file.write_text(exported().replace("'*'", "old.example"))
    options = ("--bootstrap", str(file), "--environment", "prod", "--format", "github")
    said = doctor(*options, "--policy", str(policy)).stdout.splitlines()[-1]
    assert said.startswith(f"::notice file={policy},line=5,col=1,title=DR091::resource group api: ")
    (policy.parent / "folder").mkdir()
    moved = policy.rename(policy.parent / "folder" / "p.yaml")
    assert f"file={moved},line=5" in doctor(*options, "--policy", str(moved.parent)).stdout


def test_hosts_of_objects_are_held_against_the_policy(file: Path, policy: Path) -> None:
    file.write_text(MANIFEST)
    assert ("DR090", "`old.example`") in found("--manifests", str(file), "--policy", str(policy))


def test_hosts_that_clients_ask_for_are_held_against_the_policy(file: Path, policy: Path, tmp_path: Path) -> None:
    hosts = ["api.example", "old.example", "old.example", *(f"h{n}.example" for n in range(30)), "a\x1b[2J.example", 7]
    lines = [json.dumps({"kind": "decision", "host": host}) for host in hosts]
    lines += [json.dumps({"kind": "delivery", "host": "other.example"}), "no record", "[]", ""]
    audit = tmp_path / "audit.jsonl"
    audit.write_text("\n".join(lines))
    said = found("--bootstrap", str(file), "--policy", str(policy), "--audit", str(audit))
    assert said[0] == ("DR092", "`old.example`, asked for 2 times")
    assert len(said) == 20
    assert not any("\x1b" in detail or "other" in detail for _, detail in said)


def test_an_invalid_policy_is_refused(file: Path, policy: Path) -> None:
    policy.write_text("a: [")
    assert doctor("--bootstrap", str(file), "--policy", str(policy), "--environment", "prod").exit_code == 3


# --- the catalogue ----------------------------------------------------------------------------------------------------

RULES: Final = {rule.code: rule for rule in rules()}
TESTED: Final = "".join(path.read_text() for path in sorted((ROOT / "tests" / "unit" / "doctor").glob("*.py")))


def test_ids_are_single_and_in_order() -> None:
    codes = [rule.code for rule in rules()]
    assert codes == sorted(set(codes))


@pytest.mark.parametrize("code", RULES)
def test_each_finding_is_tested_and_has_yaml_to_put_in_place(code: str) -> None:
    rule = RULES[code]
    assert f'"{code}"' in TESTED
    assert isinstance(yaml.safe_load(rule.fix), dict | None)
    assert rule.severity in Severity
    assert (rule.title[:1].islower() or rule.title.startswith(("Envoy", "Istio")), rule.title[-1:].isalnum()) == (
        True,
        True,
    )
    assert rule.why.endswith(".")
