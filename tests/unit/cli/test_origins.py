"""`origins`: what it prints, from which sources, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Final, NamedTuple

import pytest
from click.testing import CliRunner, Result

from cors_authz.cli import audit_lines, origins, usage_input
from cors_authz.cli.main import cli
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
    + _line("", 60)
    + _line("", 30)
    + _line("https://shop.example", 1, origin_group="web")
    + _line("https://new.example", 2, "deny") * 2
    + _line("null", 2, "deny")
    + _line("https://shpo.example\u001b[2J", 2, "deny")
    + '{"kind":"head"}\n\n'
    + _line("https://shop.example", 0, origin_group="web")
)


@pytest.fixture(autouse=True)
def _at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "now_seconds", lambda: NOW + 3 * 3_600)


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
        "read: decisions 9, services 0, 2026-10-07T08:00Z to 2027-01-15T08:00Z\n"
        "there is no decision from 2026-10-08T00:00Z to 2026-11-16T00:00Z: if a service ran then, audit files are"
        " missing\n"
        "there is no decision from 2026-11-17T00:00Z to 2026-12-16T00:00Z: if a service ran then, audit files are"
        " missing\n"
        "there is no decision from 2026-12-17T00:00Z to 2027-01-13T00:00Z: if a service ran then, audit files are"
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
    assert (said["sources"]["decisions"], said["sources"]["since"]) == (9, NOW - 100 * DAY)


def test_what_makes_the_sources_less_than_the_whole_is_told(folder: Path) -> None:
    (folder / "audit.jsonl").write_text(_line("https://shop.example", 1, share=0.01) + "{torn\n")
    assert _run("usage audit.jsonl").stderr == (
        "read: decisions 1, services 0, 2027-01-14T08:00Z to 2027-01-14T08:00Z\n"
        "lines that are no record, or of a time to come, and were passed over: 1\n"
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
    (folder / "audit.jsonl").write_text(
        _line("https://shop.example", 100) + _line("", 60) + _line("", 30) + "".join(used)
    )
    assert _run("stale --policy policy.yaml audit.jsonl").stdout == "every listed origin was used within 90 days\n"


def test_what_an_unknown_origin_is_like_is_noted(folder: Path) -> None:
    (folder / "audit.jsonl").write_text(_line("https://shpo.example", 1, "deny"))
    (line,) = _run("unknown --policy policy.yaml audit.jsonl").stdout.splitlines()[1:]
    assert line.endswith("https://shpo.example  one typo away: https://shop.example")


@pytest.mark.parametrize("verb", ["stale", "unknown"])
def test_what_there_is_to_know_of_the_sources_goes_with_text_and_patch(verb: str, folder: Path) -> None:
    del folder
    said = "read: decisions 9, services 0"
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
    "sources of a moment": Ends(
        f"{STALE} --unused-for 1m moment.jsonl",
        2,
        "the sources tell of less than a minute (2027-01-15T08:00Z to 2027-01-15T08:00Z), which is too short to say"
        " what was unused for 1 minute;",
    ),
    "sources of some hours": Ends(
        f"{STALE} --unused-for 36h hours.jsonl",
        2,
        "the sources tell of 2.5 hours (2027-01-15T08:00Z to 2027-01-15T10:30Z), which is too short to say what was"
        " unused for 1.5 days;",
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
    "a service without a scheme": Ends(
        "usage 127.0.0.1:1/metrics", 2, "; of a running service, write http://127.0.0.1:1/metrics"
    ),
    "a compressed file that ends early": Ends(
        "usage torn.gz", 0, "torn.gz ends too early, and what it has was read: it was cut off, or is still written"
    ),
    "a compressed file that ends early, which cannot tell what is stale": Ends(
        f"{STALE} audit.jsonl torn.gz",
        2,
        "the ends of these are missing, and with them who asked: torn.gz; name whole files",
    ),
    "a compressed file with a tail of something else": Ends(
        "usage tail.gz", 2, "`tail.gz` cannot be read as an audit file"
    ),
    "sources that are silent for most of the time": Ends(
        f"{STALE} silent.jsonl",
        2,
        "there is no decision from 2026-10-17T08:00Z to 2027-01-15T00:00Z, which is most of 90 days, so nothing can be"
        " told; add the audit files of that time, or take the line out whose time is wrong",
    ),
    "a line of years ahead, which is passed over": Ends(
        f"{STALE} --fail ahead.jsonl used.jsonl audit.jsonl",
        0,
        "lines that are no record, or of a time to come, and were passed over: 1",
    ),
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
    (folder / "moment.jsonl").write_text(_line("https://shop.example", 0))
    (folder / "hours.jsonl").write_text(_line("https://shop.example", 0) + _line("null", 0, time=NOW + 9_000))
    (folder / "invalid.yaml").write_text("a: 1\n")
    (folder / "torn.gz").write_bytes(gzip.compress(AUDIT.encode())[:60])
    (folder / "tail.gz").write_bytes(gzip.compress(AUDIT.encode()) + b"tail")
    (folder / "silent.jsonl").write_text(_line("https://shop.example", 20_000) + _line("null", 0))
    (folder / "ahead.jsonl").write_text(_line("https://shop.example", -20_000))
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
        '+    # - "https://new.example"  # for web? asked for `api`, 2 times since 2027-01-13; find out whose it is\n'
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


def test_a_list_in_brackets_is_opened_for_whom_it_would_serve(folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.replace("origins: [web, dead]", "origins: [dead]"))
    added = [
        line
        for line in _run("unknown --policy policy.yaml --patch audit.jsonl").stdout.splitlines()[2:]
        if line[0] == "+"
    ]
    assert added == [
        '+  dead: {origins: ["https://dead.example",',
        '+      # "https://new.example",  # for dead? asked for `api`, 2 times since 2027-01-13; find out whose it is',
        "+    ], trust: low, contact: web@shop.example}",
    ]


LAYOUTS: Final = {
    "lines": POLICY,
    "brackets": POLICY.replace(
        "\n    origins:\n    - https://shop.example\n    - https://old.example   # since 2019\n",
        "\n    origins: [https://shop.example, https://old.example]   # since 2019\n",
    ),
    "brackets in braces": POLICY.replace(
        "\n    origins:\n    - https://shop.example\n    - https://old.example   # since 2019\n    trust: high\n"
        "    contact: web@shop.example\n",
        ' {origins: ["https://shop.example", "https://old.example"], trust: high, contact: web@shop.example}\n',
    ),
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_both_patches_leave_a_policy_that_passes_check_however_its_lists_are_written(text: str, folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(text)
    (folder / "more.jsonl").write_text(_line("https://newer.example", 1, "deny"))
    _git_apply(_run("unknown --policy policy.yaml --patch audit.jsonl more.jsonl").stdout, folder)
    assert CliRunner().invoke(cli, ["check", "policy.yaml"]).exit_code == 0
    policy.write_text(re.sub(r"^( +)# ", r"\1", policy.read_text(), flags=re.MULTILINE))
    assert CliRunner().invoke(cli, ["check", "policy.yaml"]).exit_code == 0
    _git_apply(_run("stale --policy policy.yaml --patch audit.jsonl more.jsonl").stdout, folder)
    assert CliRunner().invoke(cli, ["check", "policy.yaml"]).exit_code == 0
    listed = json.loads(_run("usage --policy policy.yaml -o json audit.jsonl more.jsonl").stdout)["listed"]
    names = ("shop", "new", "newer", "dead")
    assert {each["listed"] for each in listed} == {f"https://{name}.example" for name in names}


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
    assert _decisions(_run("usage -o json audit.jsonl old.jsonl.gz -", stdin=AUDIT.encode())) == 27


def test_standard_input_may_be_compressed_too(folder: Path) -> None:
    del folder
    assert _decisions(_run("usage -o json - audit.jsonl", stdin=gzip.compress(AUDIT.encode()))) == 18


def test_standard_input_that_was_read_is_empty_then(folder: Path) -> None:
    del folder
    assert _decisions(_run("usage -o json - -", stdin=AUDIT.encode())) == 9


@pytest.mark.parametrize("data", [AUDIT.encode(), gzip.compress(AUDIT.encode())], ids=["plain", "compressed"])
def test_a_pipe_is_read_as_a_file_is(data: bytes, folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    writer.start()
    assert _decisions(_run("usage -o json pipe")) == 9
    writer.join()


def test_of_a_file_that_ends_too_early_what_there_is_is_kept(folder: Path) -> None:
    lines = "".join(_line(f"https://{number * 7919 % 10_007}.example", 1) for number in range(5_000))
    (folder / "torn.gz").write_bytes(gzip.compress(lines.encode())[:-1_000])
    said = json.loads(_run("usage -o json torn.gz").stdout)["sources"]
    assert said["torn"] == ["torn.gz"]
    assert 4_000 < said["decisions"] < 5_000


def test_a_line_without_an_end_does_not_fill_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_lines, "MAX_LINE_BYTES", 500)
    (folder / "audit.jsonl").write_text("x" * 5_000 + "\n" + AUDIT)
    assert _decisions(_run("usage -o json audit.jsonl")) == 9


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
        ledger.note(decision)
    return ledger.page()


@pytest.mark.parametrize("end", ["", "/", "/origins", "/metrics", "/metrics/"])
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


@contextmanager
def _dripping() -> Iterator[str]:
    """Serve one answer that never ends, a byte at a time."""
    ended = Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not ended.wait(0.02):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=drip, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def test_an_answer_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_input, "DEADLINE_SECONDS", 0.5)
    with _dripping() as url:
        result = _run(f"usage {url}")
    said = f"`{url}/origins` has not answered to the end within 0.5 seconds; name audit files"
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


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
