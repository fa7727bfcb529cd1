"""The versions of a policy: what is written to the disk is noticed, what is wrong is refused, what was good stays."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cors_authz._gen.wire.external_auth_pb2 import AttributeContext, CheckRequest, CheckResponse
from cors_authz.edge import generations as module
from cors_authz.edge.compilation import Compilation
from cors_authz.edge.generation import Generation, GenerationError
from cors_authz.edge.generations import Generations
from cors_authz.edge.jwks import KeySources
from cors_authz.edge.policy_files import PolicyFilesError
from cors_authz.edge.policy_store import PolicyStore
from cors_authz.edge.service import CheckService, Watch
from cors_authz.policy.finding import PolicyError, UnknownEnvironmentError

NOTICED_SECONDS = 60.0


def text(revision: str) -> str:
    """Write a policy that lets in one origin, which its revision names."""
    return f"""\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {{name: p, revision: {revision}}}
originGroups:
  web: {{origins: ["https://{revision}.example"], trust: high}}
resourceGroups:
  api:
    match:
    - {{hosts: [api.example]}}
    allow:
    - {{origins: [web], methods: [POST]}}
"""


BAD = text("bad").replace("https://bad.example", "HTTPS://bad.example/")


class Outcomes:
    """What the store said of each attempt to load, in their order."""

    def __init__(self) -> None:
        self.said: list[bool] = []

    def __call__(self, in_force: bool) -> None:  # noqa: FBT001 - the store calls it so
        """Remember."""
        self.said.append(in_force)


def no_keys() -> KeySources:
    return KeySources(lambda _: b"", lambda: 0.0)


@contextmanager
def watched(path: Path, outcomes: Outcomes | None = None) -> Iterator[PolicyStore]:
    store, generations = wired(path, outcomes or Outcomes())
    generations.start()
    try:
        yield store
    finally:
        generations.stop()


def wired(path: Path, on_reload: Callable[[bool], None] = lambda _: None) -> tuple[PolicyStore, Generations]:
    """Wire a store as one process does, with the first version in force."""
    store = PolicyStore(no_keys())
    generations = Generations(path, "prod", store.put_in_force, on_reload)
    generations.first()
    return store, generations


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + NOTICED_SECONDS
    while not holds():
        assert time.monotonic() < end, "not noticed in time"
        time.sleep(0.01)


def revision(store: PolicyStore) -> str:
    return store.active.policy.revision


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what was logged, but for what a busy machine brings about: a compiler that is left no CPU."""
    lines = (record.getMessage() for record in caplog.records)
    return [line for line in lines if not line.startswith("checks have left the compiler")]


def becomes(store: PolicyStore, wanted: str) -> None:
    until(lambda: revision(store) == wanted)


def put(file: Path, content: str) -> None:
    """Replace a file atomically."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


def mount(volume: Path, name: str, content: str) -> None:
    """Project a file as the kubelet does: a dated directory, and one link that is swapped."""
    data = volume / f"..{name}"
    data.mkdir(parents=True)
    (data / "policy.yaml").write_text(content)
    link = volume / "..data"
    old = link.resolve() if link.is_symlink() else None
    (volume / "..data_tmp").symlink_to(data.name)
    (volume / "..data_tmp").rename(link)
    if not (volume / "policy.yaml").is_symlink():
        (volume / "policy.yaml").symlink_to("..data/policy.yaml")
    if old:
        shutil.rmtree(old)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy" / "policy.yaml"
    file.parent.mkdir()
    file.write_text(text("r1"))
    return file


@pytest.mark.parametrize("named", ["file", "directory"])
def test_a_file_written_anew_or_replaced_is_noticed(policy: Path, named: str) -> None:
    outcomes = Outcomes()
    with watched(policy if named == "file" else policy.parent, outcomes) as store:
        put(policy, text("r2"))
        becomes(store, "r2")
        policy.write_text(text("r3"))
        becomes(store, "r3")
        until(lambda: outcomes.said[-1:] == [True])


@pytest.mark.parametrize("named", ["file", "directory"])
def test_three_swaps_of_a_config_map_are_all_noticed(tmp_path: Path, named: str) -> None:
    volume = tmp_path / "volume"
    mount(volume, "2026_01", text("r1"))
    with watched(volume / "policy.yaml" if named == "file" else volume) as store:
        for number in (2, 3, 4):
            mount(volume, f"2026_0{number}", text(f"r{number}"))
            becomes(store, f"r{number}")


def test_a_directory_that_is_removed_and_made_again_is_noticed(policy: Path) -> None:
    outcomes = Outcomes()
    with watched(policy.parent, outcomes) as store:
        shutil.rmtree(policy.parent)
        until(lambda: outcomes.said[-1:] == [False])
        assert revision(store) == "r1"
        policy.parent.mkdir()
        put(policy, text("r2"))
        becomes(store, "r2")
        put(policy, text("r3"))
        becomes(store, "r3")


def test_a_file_added_to_a_new_folder_is_noticed(policy: Path) -> None:
    with watched(policy.parent) as store:
        folder = policy.parent / "teams"
        folder.mkdir()
        put(folder / "x.yaml", text("r2"))
        put(policy, "# moved\n")
        becomes(store, "r2")


def _damage_gone(file: Path) -> None:
    file.unlink()


def _damage_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _damage_half(file: Path) -> None:
    file.write_text(text("r2")[:150])


def _damage_huge(file: Path) -> None:
    with file.open("ab") as stream:
        stream.truncate(50 * 1024 * 1024)


def _damage_mistake(file: Path) -> None:
    file.write_text(BAD)


def _damage_bytes(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "the file is gone": (_damage_gone, "does not exist"),
    "a directory stands in its place": (_damage_directory, "holds no policy"),
    "it is half-written": (_damage_half, "policy.yaml:"),
    "it has 50 MB": (_damage_huge, "1 MiB is the most"),
    "it has a mistake": (_damage_mistake, "CX003 `HTTPS://bad.example/` is not an origin"),
    "it is no text": (_damage_bytes, "is not UTF-8"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_version_is_refused_the_last_good_one_stays_and_a_mended_one_is_taken(
    damage: Callable[[Path], None], said: str, policy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = Outcomes()
    with watched(policy, outcomes) as store:
        damage(policy)
        until(lambda: outcomes.said[-1:] == [False])
        assert revision(store) == "r1"
        assert "the new policy is refused, revision r1 stays in force:" in caplog.text
        assert said in caplog.text
        if policy.is_dir():
            policy.rmdir()
        put(policy, text("r2"))
        becomes(store, "r2")
        until(lambda: outcomes.said[-1:] == [True])


def test_every_error_of_a_bad_version_is_in_the_log(policy: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, generations = wired(policy)
    policy.write_text(BAD + "guards: {a: {unknown: 1}}\n")
    assert not generations.reload()
    (record,) = caplog.records
    assert (record.levelno, record.getMessage().count("policy.yaml:") >= 2) == (logging.ERROR, True)


def test_a_version_without_the_environment_is_refused(policy: Path) -> None:
    store, generations = wired(policy)
    policy.write_text(text("r2") + "environments: {uat: {like: staging}}\n")
    assert (generations.reload(), revision(store)) == (False, "r1")


def test_a_version_that_cannot_be_put_in_force_is_refused_and_health_hears_of_it(
    policy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_in_force: list[str] = []

    def fail_at_r2(generation: Generation) -> None:
        if generation.revision == "r2":
            raise RuntimeError("injected")
        put_in_force.append(generation.revision)

    outcomes = Outcomes()
    generations = Generations(policy, "prod", fail_at_r2, outcomes)
    generations.first()
    generations.start()
    put(policy, text("r2"))
    until(lambda: outcomes.said == [False])
    assert "the new policy cannot be loaded, revision r1 stays in force" in caplog.text
    put(policy, text("r3"))
    until(lambda: outcomes.said == [False, True])
    generations.stop()
    assert put_in_force == ["r1", "r3"]


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()}


def is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def test_a_compiler_that_is_killed_refuses_the_version_and_says_how_it_ended(
    policy: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_at_once(path: Path, environment: str) -> Compilation:
        compilation = Compilation(path, environment)
        os.kill(compilation.pid, signal.SIGKILL)
        return compilation

    store, generations = wired(policy)
    with monkeypatch.context() as patched:
        patched.setattr(module, "Compilation", killed_at_once)
        assert (generations.reload(), revision(store)) == (False, "r1")
    assert "ends before it is whole; the process that compiled it was ended by SIGKILL" in caplog.text
    policy.write_text(text("r2"))
    assert (generations.reload(), revision(store)) == (True, "r2")


class Children:
    """Stands in for `Compilation`; as long as it is asked to, it stops each process that it begins at once."""

    def __init__(self) -> None:
        self.stops = True
        self.pids: list[int] = []

    def __call__(self, path: Path, environment: str) -> Compilation:
        """Begin to compile."""
        compilation = Compilation(path, environment)
        self.pids.append(compilation.pid)
        if self.stops:
            os.kill(compilation.pid, signal.SIGSTOP)
        return compilation


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Children:
    """Stop the compiler from the second version on, and be impatient with it."""
    children = Children()
    children.stops = False
    monkeypatch.setattr(module, "Compilation", children)
    monkeypatch.setattr(module, "_LEAST_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(module, "_PATIENCE_FACTOR", 1.5)
    return children


def test_a_version_that_is_stuck_is_given_up_for_a_newer_one(
    policy: Path, stopped: Children, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = Outcomes()
    with watched(policy, outcomes) as store:
        stopped.stops = True
        put(policy, text("r2"))
        until(lambda: len(stopped.pids) == 2)
        stopped.stops = False
        put(policy, text("r3"))
        becomes(store, "r3")
        until(lambda: outcomes.said == [True])
    assert is_over(stopped.pids[1])
    assert [line.partition(",")[0] for line in told(caplog)] == ["the policy changed while it was compiled"]


def test_at_the_start_too_a_newer_version_is_not_kept_waiting_by_one_that_is_stuck(
    policy: Path, stopped: Children
) -> None:
    stopped.stops = True
    store = PolicyStore(no_keys())
    generations = Generations(policy, "prod", store.put_in_force)
    stopped.stops = False
    policy.write_text(text("r2"))
    assert generations.first().revision == "r2"


def test_a_version_that_is_stuck_is_refused_in_the_end_in_one_line_and_a_newer_one_is_taken(
    policy: Path, stopped: Children, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, generations = wired(policy)
    with monkeypatch.context() as patched:
        patched.setattr(module, "MOST_COMPILATION_SECONDS", 1)
        stopped.stops = True
        assert (generations.reload(), revision(store)) == (False, "r1")
    assert is_over(stopped.pids[1])
    assert [(record.levelname, record.getMessage(), record.exc_info) for record in caplog.records] == [
        (
            "ERROR",
            (
                "the new policy is refused, revision r1 stays in force:\n"
                "it took more than 1 s to compile; make it smaller, or give it more CPU"
            ),
            None,
        )
    ]
    stopped.stops = False
    policy.write_text(text("r2"))
    assert (generations.reload(), revision(store)) == (True, "r2")


def slowly(path: Path, environment: str) -> Compilation:
    """Begin to compile, which takes two seconds more than usual."""
    compilation = Compilation(path, environment)
    os.kill(compilation.pid, signal.SIGSTOP)
    threading.Timer(2.0, lambda: go_on(compilation.pid)).start()
    return compilation


def go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_files_that_change_all_the_time_are_put_in_force_all_the_same(
    policy: Path, stopped: Children, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def change() -> None:
        number = 2
        while not done.wait(0.05):
            put(policy, text(f"r{number}"))
            number += 1

    writer = threading.Thread(target=change)
    with watched(policy) as store:
        monkeypatch.setattr(module, "Compilation", slowly)
        writer.start()
        try:
            until(lambda: revision(store) != "r1")
        finally:
            done.set()
            writer.join()
    assert "the policy changed while it was compiled" in caplog.text
    assert len(stopped.pids) == 1


def test_a_version_that_takes_no_longer_than_the_last_is_waited_for_though_files_change(
    policy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    children = Children()
    children.stops = False
    # On a busy machine a small policy may take as long as a large one.
    monkeypatch.setattr(module, "_LEAST_PATIENCE_SECONDS", 60.0)
    with watched(policy) as store:
        monkeypatch.setattr(module, "Compilation", children)
        put(policy, text("r2"))
        until(lambda: len(children.pids) == 1)
        put(policy, text("r3"))
        becomes(store, "r3")
    assert told(caplog) == []


def test_a_change_that_no_process_could_be_had_for_is_tried_again(
    policy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails = [True]

    def not_at_first(path: Path, environment: str) -> Compilation:
        if fails:
            fails.clear()
            raise BlockingIOError("injected")
        return Compilation(path, environment)

    outcomes = Outcomes()
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)
    with watched(policy, outcomes) as store:
        monkeypatch.setattr(module, "Compilation", not_at_first)
        put(policy, text("r2"))
        becomes(store, "r2")
        until(lambda: outcomes.said == [False, True])
    assert "the new policy cannot be loaded, revision r1 stays in force" in caplog.text


def test_a_version_whose_compiler_was_killed_is_tried_again(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spared: list[bool] = []

    def killed_once(path: Path, environment: str) -> Compilation:
        compilation = Compilation(path, environment)
        if not spared:
            os.kill(compilation.pid, signal.SIGKILL)
        spared.append(True)
        return compilation

    outcomes = Outcomes()
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)
    with watched(policy, outcomes) as store:
        monkeypatch.setattr(module, "Compilation", killed_once)
        put(policy, text("r2"))
        becomes(store, "r2")
        until(lambda: outcomes.said == [False, True])


def test_the_first_version_is_compiled_at_once_and_a_further_one_beside_the_checks(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes: list[int] = []
    result = Compilation.result

    def noting_its_class(
        self: Compilation, pause: Callable[[], object], look: Callable[[float], Exception | None]
    ) -> Generation:
        classes.append(os.sched_getscheduler(self.pid))
        return result(self, pause, look)

    monkeypatch.setattr(Compilation, "result", noting_its_class)
    _, generations = wired(policy)
    generations.reload()
    # On a busy machine it is compiled once more, as the first was.
    assert classes[:2] == [os.SCHED_OTHER, os.SCHED_IDLE]


def test_a_version_that_the_checks_leave_no_cpu_is_compiled_at_their_cost(
    policy: Path, stopped: Children, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, generations = wired(policy)
    monkeypatch.setattr(module, "_TRIAL_SECONDS", 0.6)
    put(policy, text("r2"))
    stopped.stops = True
    threading.Timer(0.4, lambda: setattr(stopped, "stops", False)).start()
    assert (generations.reload(), revision(store)) == (True, "r2")
    assert "checks have left the compiler less than a tenth of a core" in caplog.text
    assert is_over(stopped.pids[-2])


def test_the_share_of_a_core_that_a_compilation_has_had(policy: Path) -> None:
    compilation = Compilation(policy, "prod")
    until(lambda: compilation.share > 0.01)
    os.kill(compilation.pid, signal.SIGSTOP)
    before = compilation.share
    time.sleep(0.3)
    after = compilation.share
    compilation.stop()
    with pytest.raises(GenerationError):
        compilation.result(lambda: None, lambda _seconds: None)
    assert after < before
    assert compilation.share == 1


def test_stop_ends_a_compilation_that_is_under_way(policy: Path) -> None:
    before = children()
    generations = Generations(policy, "prod", PolicyStore(no_keys()).put_in_force)
    (child,) = children() - before
    generations.stop()
    with pytest.raises(GenerationError, match="was ended by SIGKILL"):
        generations.first()
    assert is_over(child)


def test_the_compiler_ends_with_the_process_that_wants_the_version(policy: Path) -> None:
    program = f"""
import os, signal, sys
sys.path[:] = {sys.path!r}
from pathlib import Path
from cors_authz.edge.compilation import Compilation
from cors_authz.edge.generation import Generation
print(Compilation(Path({str(policy)!r}), "prod").pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, text=True)
    until(lambda: is_over(int(said.stdout)))


def first(path: Path, environment: str = "prod") -> None:
    Generations(path, environment, PolicyStore(no_keys()).put_in_force).first()


def test_what_does_not_load_at_the_start_is_raised(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(PolicyFilesError):
        first(tmp_path / "gone.yaml")
    with pytest.raises(UnknownEnvironmentError, match="declares no environment `moon`; it declares prod, staging, dev"):
        first(policy, "moon")
    policy.write_text(BAD)
    with pytest.raises(PolicyError):
        first(policy)


def test_a_file_far_below_the_folder_of_a_single_file_wakes_nobody(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def watch(*_: object, recursive: bool, **__: object) -> Iterator[set[object]]:
        asked.append(recursive)
        yield set()

    monkeypatch.setattr(module, "watch", watch)
    for path in (policy, policy.parent):
        asked.clear()
        with watched(path):
            until(lambda: bool(asked))
        assert asked[0] is path.is_dir()


def check(service: CheckService, origin: str) -> CheckResponse:
    http = AttributeContext.HttpRequest(
        method="POST", scheme="https", host="api.example", path="/", headers={"origin": origin}
    )
    request = CheckRequest(attributes=AttributeContext(request=AttributeContext.Request(http=http)))
    return CheckResponse.FromString(service.check(request.SerializeToString(), ()))


def test_each_check_during_reloads_is_answered_under_one_revision(policy: Path) -> None:
    store, generations = wired(policy)
    service = CheckService(lambda: store.active, lambda: 0.0, lambda: 0.0, lambda: "0" * 32, Watch())
    done, torn, seen = threading.Event(), list[str](), set[str]()

    def ask() -> None:
        while not done.is_set():
            response = check(service, "https://r1.example")
            under = response.dynamic_metadata.fields["revision"].string_value
            seen.add(under)
            if (response.status.code == 0) != (under == "r1"):
                torn.append(under)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(6):
        policy.write_text(text(f"r{1 + number % 2}"))
        assert generations.reload()
    done.set()
    for thread in threads:
        thread.join()
    assert (torn, seen) == ([], {"r1", "r2"})
