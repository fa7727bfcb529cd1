"""The versions of a policy: its files are watched, and each change is compiled and handed on."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Final

from watchfiles import watch

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.compilation import Compilation
from cors_authz.edge.generation import Generation, GenerationError
from cors_authz.edge.parts import PAUSE_SECONDS
from cors_authz.edge.policy_files import PolicyFilesError, fingerprint
from cors_authz.policy.finding import PolicyError, UnknownEnvironmentError

_log = logging.getLogger(__name__)

_DEBOUNCE_MILLISECONDS: Final = 50
_POLL_MILLISECONDS: Final = 1000
_STOP_SECONDS: Final = 1.0

MOST_COMPILATION_SECONDS: Final = 300.0
"""Ten times what the largest policy takes beside checks; whatever takes longer would hardly come to an end."""
_LEAST_PATIENCE_SECONDS: Final = 3.0
_PATIENCE_FACTOR: Final = 2.0
_TRIAL_SECONDS: Final = 10.0
_STARVED_SHARE: Final = 0.1
"""Of a core. A version that gives way and has had less than this after the trial is compiled anew, and gives no way."""
_RETRY_SECONDS: Final = 30.0
"""How long after a fault that no author made, such as a compiler that was killed, the same files are tried again."""


class CompilationTimeoutError(GenerationError):
    """A version that took longer to compile than any is given."""


class _SupersededError(Exception):
    """A version that is no longer what the files say, and takes too long to wait for."""


class _StarvedError(Exception):
    """A version that gave way to the checks, which left it too little."""


class Generations:
    """Compiles the policy, and compiles it anew whenever a file of it has changed. The first time begins at once.

    A version whose files change while it is compiled is waited for as long as it takes no more than twice the time of
    the last one that was put in force, and for three seconds at least; then it is given up for the newer one. Each that
    is given up in a row doubles what the next one is given, so that even files that change all the time are put in
    force. No version is waited for longer than `MOST_COMPILATION_SECONDS`: it is refused.

    Args:
        path: the policy's file or directory.
        environment: where the service runs.
        put_in_force: is handed each version that has no errors; what it raises refuses the version.
        on_reload: told after each further attempt whether the newest version was handed on.
    """

    def __init__(
        self,
        path: Path,
        environment: str,
        put_in_force: Callable[[Generation], None],
        on_reload: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._path = path.absolute()
        self._environment = environment
        self._put_in_force = put_in_force
        self._on_reload = on_reload
        self._revision = "none"
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="policy watcher", daemon=True)
        self._patience_seconds = _LEAST_PATIENCE_SECONDS
        self._retry_at = math.inf
        self._begin(gives_way=False)

    def first(self) -> Generation:
        """Wait for the first version, and put it in force; once only.

        Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError, GenerationError; CompilationTimeoutError is one.
        """
        return self._hand_on()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer, and end a compilation that is under way."""
        self._stop.set()
        self._compilation.stop()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def reload(self) -> bool:
        """Compile the policy anew, and put it in force if it has no errors.

        Returns: whether it was put in force; if not, the log says why and the last good one stays.
        """
        try:
            self._begin(gives_way=True)
            self._hand_on()
        except (PolicyError, PolicyFilesError, UnknownEnvironmentError, CompilationTimeoutError) as error:
            _log.error("the new policy is refused, revision %s stays in force:\n%s", self._revision, error)
            return False
        except Exception:  # noqa: BLE001 - what is logged in full is not hidden
            # A fault of ours refuses the version like a mistake of its author, or health would go on to praise it.
            if not self._stop.is_set():
                _log.exception("the new policy cannot be loaded, revision %s stays in force", self._revision)
            self._retry_at = monotonic_seconds() + _RETRY_SECONDS
            return False
        return True

    def _begin(self, *, gives_way: bool) -> None:
        self._retry_at = math.inf
        # Looked at first: what changes from here on may or may not be in what the child reads.
        self._seen = fingerprint(self._path)
        self._compilation = Compilation(self._path, self._environment)
        self._gives_way = gives_way
        if gives_way:
            self._compilation.give_way()

    def _hand_on(self) -> Generation:
        generation = self._newest()
        self._patience_seconds = max(_LEAST_PATIENCE_SECONDS, _PATIENCE_FACTOR * self._compilation.seconds)
        self._put_in_force(generation)
        self._revision = generation.revision
        return generation

    def _newest(self) -> Generation:
        """Wait for the version that is being compiled, or for the one that it is given up for."""
        patience_seconds = self._patience_seconds
        while True:
            if self._stop.is_set():
                self._compilation.stop()
            try:
                return self._compilation.result(
                    lambda: time.sleep(PAUSE_SECONDS), partial(self._reason_to_give_up, patience_seconds)
                )
            except _SupersededError:
                _log.warning(
                    "the policy changed while it was compiled, for more than %.0f s: the newer one is compiled instead",
                    patience_seconds,
                )
                patience_seconds *= _PATIENCE_FACTOR
                self._begin(gives_way=True)
            except _StarvedError:
                _log.warning(
                    "checks have left the compiler less than a tenth of a core for %.0f s: it takes its share",
                    _TRIAL_SECONDS,
                )
                self._begin(gives_way=False)

    def _reason_to_give_up(self, patience_seconds: float, seconds: float) -> Exception | None:
        if seconds > MOST_COMPILATION_SECONDS:
            return CompilationTimeoutError(
                f"it took more than {MOST_COMPILATION_SECONDS:.0f} s to compile; make it smaller, or give it more CPU"
            )
        if seconds > patience_seconds and fingerprint(self._path) != self._seen:
            return _SupersededError()
        is_starved = self._gives_way and seconds > _TRIAL_SECONDS and self._compilation.share < _STARVED_SHARE
        return _StarvedError() if is_starved else None

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow_changes()
            except Exception:  # noqa: BLE001 - whatever it is, the policy must stay watched
                _log.exception("the policy watcher failed; it starts anew")
                self._stop.wait(_POLL_MILLISECONDS / 1000)

    def _follow_changes(self) -> None:
        # The directory, never the file: an atomic replacement gives the file a new inode, which nobody watches then.
        folder = self._path if self._path.is_dir() else self._path.parent
        if not folder.is_dir():
            self._notice()
            self._stop.wait(_POLL_MILLISECONDS / 1000)
            return
        for _ in watch(
            folder,
            # A file's neighbours may be a whole file system.
            recursive=self._path.is_dir(),
            debounce=_DEBOUNCE_MILLISECONDS,
            rust_timeout=_POLL_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
        ):
            self._notice()
            if not folder.is_dir():
                return

    def _notice(self) -> None:
        # Events only wake; what decides is whether a file differs, so that lost and spurious events do no harm.
        if fingerprint(self._path) != self._seen or monotonic_seconds() >= self._retry_at:
            self._on_reload(self.reload())
