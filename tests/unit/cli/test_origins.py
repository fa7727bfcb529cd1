"""`origins`: what it prints, from which sources, and how it ends."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final, NamedTuple

import pytest
from click.testing import CliRunner, Result

from cors_authz.cli import usage_input
from cors_authz.cli.main import cli
from cors_authz.edge.cases import Case, features_of
from cors_authz.edge.ledger import Ledger
from tests.deciding import ask, compiled, decided

DAY: Final = 86_400
NOW: Final = 1_800_000_000
POLICY: Final = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
originGroups:
  web:
    origins:
    - https://shop.example
    - https://old.example   # since 2019
    trust: high
    contact: web@shop.example
  dead: {origins: ["https://dead.example"], trust: low, contact: web@shop.example}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web, dead], methods: [GET]}
"""


def _line(origin: str, days_ago: int, outcome: str = "allow", **more: object) -> str:
    record = {"kind": "decision", "time": NOW - days_ago * DAY, "outcome": outcome, "origin": origin, "group": "api"}
    return json.dumps({**record, "method": "GET", "host": "api.example", **more}) + "\n"


AUDIT: Final = (
    _line("https://old.example", 100, origin_group="web")
    + _line("https://shop.example", 1, origin_group="web")
    + _line("https://new.example", 2, "deny") * 2
    + _line("null", 2, "deny")
    + _line("https://shpo.example\u001b[2J", 2, "deny")
    + '{"kind":"head"}\n\n'
    + _line("https://shop.example", 0, origin_group="web")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "audit.jsonl").write_text(AUDIT)
    return tmp_path


def _run(line: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["origins", *line.split()], input=stdin)


# --- Usage ------------------------------------------------------------------------------------------------------------


def test_usage_prints_who_asked_and_how_each_line_was_used(folder: Path) -> None:
    del folder
    result = _run("usage --policy policy.yaml audit.jsonl")
    assert result.stdout == (
        "last seen          first seen         allow  deny  preflight_allow  preflight_deny  error  tenant  group"
        "  origin group  origin\n"
        "2027-01-15T08:00Z  2027-01-14T08:00Z  2      0     0                0               0      -       api  "
        "  web           https://shop.example\n"
        "2027-01-13T08:00Z  2027-01-13T08:00Z  0      2     0                0               0      -       api  "
        "  -             https://new.example\n"
        "2027-01-13T08:00Z  2027-01-13T08:00Z  0      1     0                0               0      -       api  "
        "  -             https://shpo.example\\x1b[2J\n"
        "2027-01-13T08:00Z  2027-01-13T08:00Z  0      1     0                0               0      -       api  "
        "  -             null\n"
        "2026-10-07T08:00Z  2026-10-07T08:00Z  1      0     0                0               0      -       api  "
        "  web           https://old.example\n"
        "\n"
        "last seen          first seen         allow  deny  preflight_allow  preflight_deny  error  tenant"
        "  origin group  listed                at\n"
        "2027-01-15T08:00Z  2027-01-14T08:00Z  2      0     0                0               0      -     "
        "  web           https://shop.example  policy.yaml:7:7\n"
        "2026-10-07T08:00Z  2026-10-07T08:00Z  1      0     0                0               0      -     "
        "  web           https://old.example   policy.yaml:8:7\n"
        "never              never              0      0     0                0               0      -     "
        "  dead          https://dead.example  policy.yaml:11:20\n"
    )
    assert result.stderr == (
        "read: decisions 7, services 0, 2026-10-07T08:00Z to 2027-01-15T08:00Z\n"
        "there is no decision from 2026-10-08T00:00Z to 2027-01-13T00:00Z: if a service ran then, audit files are"
        " missing\n"
    )


def test_usage_as_json_says_the_same(folder: Path) -> None:
    del folder
    said = json.loads(_run("usage --policy policy.yaml -o json audit.jsonl").stdout)
    assert said["origins"][0] == {
        "tenant": "",
        "group": "api",
        "origin_group": "web",
        "origin": "https://shop.example",
        "first": NOW - DAY,
        "last": NOW,
        "outcomes": {"allow": 2},
        "methods": ["GET"],
    }
    assert [(each["listed"], each["last"]) for each in said["listed"]] == [
        ("https://shop.example", NOW),
        ("https://old.example", NOW - 100 * DAY),
        ("https://dead.example", None),
    ]
    assert (said["sources"]["decisions"], said["sources"]["since"]) == (7, NOW - 100 * DAY)


def test_what_makes_the_sources_less_than_the_whole_is_told(folder: Path) -> None:
    (folder / "audit.jsonl").write_text(_line("https://shop.example", 1, share=0.01) + "{torn\n")
    assert _run("usage audit.jsonl").stderr == (
        "read: decisions 1, services 0, 2027-01-14T08:00Z to 2027-01-14T08:00Z\n"
        "lines that are no record, and were passed over: 1\n"
        "some records are kept in a share of 0.01: numbers are estimates, and who asked less than 299 times may have"
        " left no record\n"
    )


# --- Stale and unknown ------------------------------------------------------------------------------------------------


def test_stale_prints_what_nobody_used(folder: Path) -> None:
    del folder
    assert _run("stale --policy policy.yaml audit.jsonl").stdout == (
        "last seen          tenant  origin group  listed                at\n"
        "2026-10-07T08:00Z  -       web           https://old.example   policy.yaml:8:7\n"
        "never              -       dead          https://dead.example  policy.yaml:11:20\n"
    )


def test_stale_as_json_says_the_same(folder: Path) -> None:
    del folder
    said = json.loads(_run("stale --policy policy.yaml -o json audit.jsonl").stdout)
    at = {"tenant": "", "file": "policy.yaml"}
    old = {"origin_group": "web", "listed": "https://old.example", "line": 8, "column": 7, "last": NOW - 100 * DAY}
    dead = {"origin_group": "dead", "listed": "https://dead.example", "line": 11, "column": 20, "last": None}
    assert said["stale"] == [at | old, at | dead]


def test_unknown_prints_who_asks_in_vain(folder: Path) -> None:
    del folder
    assert _run("unknown --policy policy.yaml --top 2 audit.jsonl").stdout == (
        "checks  first seen         last seen          methods  asks for  origin                       note\n"
        "2       2027-01-13T08:00Z  2027-01-13T08:00Z  GET      api (2)   https://new.example\n"
        "1       2027-01-13T08:00Z  2027-01-13T08:00Z  GET      api (1)   https://shpo.example\\x1b[2J  malformed\n"
    )


def test_unknown_as_json_says_the_same(folder: Path) -> None:
    del folder
    said = json.loads(_run("unknown --policy policy.yaml -o json audit.jsonl").stdout)
    assert said["unknown"][2] == {
        "origin": "null",
        "first": NOW - 2 * DAY,
        "last": NOW - 2 * DAY,
        "outcomes": {"deny": 1},
        "methods": ["GET"],
        "asks_for": {"api": 1},
        "mark": "null",
        "near": "",
    }


def test_where_nothing_is_stale_that_is_said(folder: Path) -> None:
    used = [_line(origin, 0) for origin in ("https://shop.example", "https://old.example", "https://dead.example")]
    (folder / "audit.jsonl").write_text(_line("https://shop.example", 100) + "".join(used))
    assert _run("stale --policy policy.yaml audit.jsonl").stdout == "every listed origin was used within 90 days\n"


def test_what_an_unknown_origin_is_like_is_noted(folder: Path) -> None:
    (folder / "audit.jsonl").write_text(_line("https://shpo.example", 1, "deny"))
    (line,) = _run("unknown --policy policy.yaml audit.jsonl").stdout.splitlines()[1:]
    assert line.endswith("https://shpo.example  one typo away: https://shop.example")


@pytest.mark.parametrize("verb", ["stale", "unknown"])
def test_what_there_is_to_know_of_the_sources_goes_with_text_and_patch(verb: str, folder: Path) -> None:
    del folder
    said = "read: decisions 7, services 0"
    assert said in _run(f"{verb} --policy policy.yaml audit.jsonl").stderr
    assert said in _run(f"{verb} --policy policy.yaml --patch audit.jsonl").stderr
    assert said in _run(f"{verb} --policy policy.yaml --patch -o json audit.jsonl").stderr
    assert _run(f"{verb} --policy policy.yaml -o json audit.jsonl").stderr == ""


class Ends(NamedTuple):
    """A command line, its exit code, and what it says to those who read standard error."""

    line: str
    code: int
    said: str = ""


STALE: Final = "stale --policy policy.yaml"
ENDS: Final = {
    "something stale": Ends(f"{STALE} audit.jsonl", 0),
    "something stale that shall fail": Ends(f"{STALE} --fail audit.jsonl", 6),
    "something stale that shall fail, as JSON": Ends(f"{STALE} --fail -o json audit.jsonl", 6),
    "nothing stale": Ends(f"{STALE} --fail --unused-for 1m used.jsonl", 0),
    "hours that the sources reach back": Ends(f"{STALE} --unused-for 2400h audit.jsonl", 0),
    "an hour more than that": Ends(f"{STALE} --unused-for 2401h audit.jsonl", 2, "too short to say"),
    "minutes that the sources reach back": Ends(f"{STALE} --unused-for 144000m audit.jsonl", 0),
    "a minute more than that": Ends(f"{STALE} --unused-for 144001m audit.jsonl", 2, "too short to say"),
    "sources that are too short": Ends(
        f"{STALE} --unused-for 101d audit.jsonl",
        2,
        "the sources tell of 100 days (2026-10-07T08:00Z to 2027-01-15T08:00Z), which is too short to say what was"
        " unused for 101 days; add older audit files, or ask for a shorter --unused-for",
    ),
    "sources without a decision": Ends(f"{STALE} empty.jsonl", 2, "the sources hold no decision"),
    "no source": Ends(STALE, 2, "Missing argument 'SOURCE...'"),
    "a time that is none": Ends(f"{STALE} --unused-for 90 audit.jsonl", 2, "`90` is no time; write 90d, 36h or 30m"),
    "no time at all": Ends(f"{STALE} --unused-for 0d audit.jsonl", 2, "`0d` is no time; write 90d, 36h or 30m"),
    "an invalid policy": Ends("stale --policy invalid.yaml audit.jsonl", 3, "invalid.yaml:1:1: CX046"),
    "somebody unknown": Ends("unknown --policy policy.yaml audit.jsonl", 0),
    "somebody unknown, who shall fail": Ends("unknown --policy policy.yaml --fail audit.jsonl", 6),
    "nobody unknown": Ends("unknown --policy policy.yaml --fail used.jsonl", 0),
    "a source that is not there": Ends("usage gone.jsonl", 2, "`gone.jsonl` cannot be read as an audit file"),
    "a directory": Ends("usage .", 2, "`.` cannot be read as an audit file"),
    "a compressed file that ends early": Ends("usage torn.gz", 2, "`torn.gz` cannot be read as an audit file"),
    "a service that does not answer": Ends(
        "usage http://127.0.0.1:1", 2, "`http://127.0.0.1:1/origins` cannot be read"
    ),
    "a URL that is none": Ends("usage http://[", 2, "`http://[/origins` cannot be read"),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_how_it_ends(case: Ends, folder: Path) -> None:
    used = [_line(origin, 0) for origin in ("https://shop.example", "https://old.example", "https://dead.example")]
    (folder / "used.jsonl").write_text(_line("https://shop.example", 1) + "".join(used))
    (folder / "empty.jsonl").write_text("")
    (folder / "invalid.yaml").write_text("a: 1\n")
    (folder / "torn.gz").write_bytes(gzip.compress(AUDIT.encode())[:60])
    result = _run(case.line)
    assert (result.exit_code, case.said in result.stderr) == (case.code, True), result.stderr


# --- Patches ----------------------------------------------------------------------------------------------------------


def _git_apply(diff: str, folder: Path) -> None:
    subprocess.run(["git", "apply"], input=diff.encode(), cwd=folder, check=True)  # noqa: S607 - found by its name


def test_the_patch_of_what_is_stale_applies_and_what_is_left_passes_check(folder: Path) -> None:
    result = _run("stale --policy policy.yaml --patch audit.jsonl")
    assert result.stdout == (
        "--- a/policy.yaml\n"
        "+++ b/policy.yaml\n"
        "@@ -5,7 +5,6 @@\n"
        "   web:\n"
        "     origins:\n"
        "     - https://shop.example\n"
        "-    - https://old.example   # since 2019\n"
        "     trust: high\n"
        "     contact: web@shop.example\n"
        '   dead: {origins: ["https://dead.example"], trust: low, contact: web@shop.example}\n'
    )
    assert (
        "`dead` (policy.yaml:11:20) would be left without an origin, and stays: remove it by hand, with what names it\n"
    ) in result.stderr
    _git_apply(result.stdout, folder)
    assert CliRunner().invoke(cli, ["check", "policy.yaml"]).exit_code == 0


def test_the_patch_of_who_is_unknown_is_a_comment_that_becomes_a_line(folder: Path) -> None:
    result = _run("unknown --policy policy.yaml --patch audit.jsonl")
    assert result.stdout == (
        "--- a/policy.yaml\n"
        "+++ b/policy.yaml\n"
        "@@ -6,6 +6,7 @@\n"
        "     origins:\n"
        "     - https://shop.example\n"
        "     - https://old.example   # since 2019\n"
        '+    # - "https://new.example"  # for web? asked for api 2 times since 2027-01-13; find out whose it is\n'
        "     trust: high\n"
        "     contact: web@shop.example\n"
        '   dead: {origins: ["https://dead.example"], trust: low, contact: web@shop.example}\n'
    )
    _git_apply(result.stdout, folder)
    policy = folder / "policy.yaml"
    assert json.loads(_run("unknown --policy policy.yaml -o json audit.jsonl").stdout)["unknown"] != []
    policy.write_text(policy.read_text().replace("# - ", "- "))
    left = json.loads(_run("unknown --policy policy.yaml -o json audit.jsonl").stdout)["unknown"]
    assert "https://new.example" not in {each["origin"] for each in left}


def test_whom_an_inline_list_would_serve_is_named_above_it(folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.replace("origins: [web, dead]", "origins: [dead]"))
    added = [
        line for line in _run("unknown --policy policy.yaml --patch audit.jsonl").stdout.splitlines() if "+ " in line
    ]
    said = '+  # - "https://new.example"  # for dead? asked for api 2 times since 2027-01-13; find out whose it is'
    assert added == ["+++ b/policy.yaml", said]


def test_a_policy_in_a_directory_is_patched_where_its_files_lie(folder: Path) -> None:
    (folder / "policies" / "shared").mkdir(parents=True)
    (folder / "policy.yaml").rename(folder / "policies" / "shared" / "bundle.yaml")
    result = _run("stale --policy policies --patch audit.jsonl")
    assert result.stdout.startswith("--- a/policies/shared/bundle.yaml\n+++ b/policies/shared/bundle.yaml\n")
    _git_apply(result.stdout, folder)
    assert "old.example" not in (folder / "policies" / "shared" / "bundle.yaml").read_text()


# --- Sources ----------------------------------------------------------------------------------------------------------


def _decisions(result: Result) -> int:
    assert result.exit_code == 0, result.stderr
    decisions: int = json.loads(result.stdout)["sources"]["decisions"]
    return decisions


def test_files_are_added_up_compressed_or_not_and_standard_input_with_them(folder: Path) -> None:
    (folder / "old.jsonl.gz").write_bytes(gzip.compress(AUDIT.encode()))
    assert _decisions(_run("usage -o json audit.jsonl old.jsonl.gz -", stdin=AUDIT.encode())) == 21


def test_a_line_without_an_end_does_not_fill_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_input, "MAX_LINE_BYTES", 500)
    (folder / "audit.jsonl").write_text("x" * 5_000 + "\n" + AUDIT)
    assert _decisions(_run("usage -o json audit.jsonl")) == 7


@contextmanager
def _serving(pages: dict[str, bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _page_of_a_service() -> bytes:
    policy = compiled("""
        originGroups:
          web: {origins: ["https://shop.example"], trust: high}
        resourceGroups:
          api:
            match: [{hosts: [api.example]}]
            allow: [{origins: [web], methods: [GET]}]
        """)
    ledger = Ledger(iter((NOW - 10.0, float(NOW))).__next__)
    for origin in ("https://shop.example", "https://new.example"):
        decision = decided(policy, ask("POST https://api.example/a", origin=origin), now=NOW - 5.0)
        ledger.note(decision, Case(features_of(decision)))
    return ledger.page()


@pytest.mark.parametrize("end", ["", "/", "/origins"])
def test_the_ledgers_of_running_services_are_added_up(end: str, folder: Path) -> None:
    del folder
    with _serving({"/origins": _page_of_a_service()}) as url:
        result = _run(f"usage -o json {url}{end} {url}{end}")
    said = json.loads(result.stdout)
    assert [(each["origin"], each["origin_group"], each["outcomes"]) for each in said["origins"]] == [
        ("https://new.example", "", {"deny": 2}),
        ("https://shop.example", "web", {"deny": 2}),
    ]
    assert (said["sources"]["pages"], said["sources"]["since"], said["sources"]["until"]) == (2, NOW - 10, NOW)


def test_checks_that_a_full_service_could_not_tell_apart_are_noted() -> None:
    page = json.dumps({"since": NOW - 1, "until": NOW, "folded": 3, "entries": []}).encode()
    with _serving({"/origins": page}) as url:
        result = _run(f"usage {url}")
    assert "checks that found no room in the services' memory, and whose is not known: 3; audit files" in result.stderr


class Answer(NamedTuple):
    """What a server has at `/origins`, and what is said of it."""

    pages: dict[str, bytes]
    said: str


ANSWERS: Final = {
    "no page": Answer({}, "answers 404; name a service's metrics endpoint"),
    "another page": Answer({"/origins": b"<html>"}, "it is no page of origins"),
    "a page without an end": Answer(
        {"/origins": b"[" * 2_000}, "answers more than 1000 bytes, which is no page of ours"
    ),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_a_server_that_is_no_service_is_a_usage_error(case: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_input, "MAX_PAGE_BYTES", 1_000)
    with _serving(case.pages) as url:
        result = _run(f"usage {url}")
    assert (result.exit_code, case.said in result.stderr) == (2, True), result.stderr
