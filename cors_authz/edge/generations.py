"""The versions of a policy: its files are watched, and each change is compiled and handed on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final

from watchfiles import watch

from cors_authz.edge.compilation import Compilation
from cors_authz.edge.generation import Generation
from cors_authz.edge.parts import PAUSE_SECONDS
from cors_authz.edge.policy_files import PolicyFilesError, fingerprint
from cors_authz.policy.finding import PolicyError, UnknownEnvironmentError

_log = logging.getLogger(__name__)

_DEBOUNCE_MILLISECONDS: Final = 50
_POLL_MILLISECONDS: Final = 1000
_STOP_SECONDS: Final = 1.0


class Generations:
    """Compiles the policy, and compiles it anew whenever a file of it has changed. The first time begins at once.

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
        self._seen = fingerprint(self._path)
        self._compilation = Compilation(self._path, environment)

    def first(self) -> Generation:
        """Wait for the first version, and put it in force; once only.

        Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError, GenerationError.
        """
        return self._hand_on(self._compilation)

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
            self._compilation = Compilation(self._path, self._environment)
            self._hand_on(self._compilation)
        except (PolicyError, PolicyFilesError, UnknownEnvironmentError) as error:
            _log.error("the new policy is refused, revision %s stays in force:\n%s", self._revision, error)
            return False
        except Exception:  # noqa: BLE001 - what is logged in full is not hidden
            # A fault of ours refuses the version like a mistake of its author, or health would go on to praise it.
            if not self._stop.is_set():
                _log.exception("the new policy cannot be loaded, revision %s stays in force", self._revision)
            return False
        return True

    def _hand_on(self, compilation: Compilation) -> Generation:
        if self._stop.is_set():
            compilation.stop()
        generation = compilation.result(lambda: time.sleep(PAUSE_SECONDS))
        self._put_in_force(generation)
        self._revision = generation.revision
        return generation

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
        seen = fingerprint(self._path)
        if seen != self._seen:
            self._seen = seen
            self._on_reload(self.reload())
