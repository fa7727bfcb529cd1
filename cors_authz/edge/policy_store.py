"""The policy that is in force: loaded, watched, and swapped as one reference once a new version has no errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from watchfiles import watch

from cors_authz.edge.clock import now
from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.jwks import KeySources
from cors_authz.edge.policy_files import PolicyFilesError, fingerprint, read_sources
from cors_authz.edge.tokens import TokenReader
from cors_authz.envoy.encode import Encoder
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.finding import Finding, PolicyError
from cors_authz.policy.load import UnknownEnvironmentError, load_policy

_log = logging.getLogger(__name__)

_DEBOUNCE_MILLISECONDS: Final = 50
_POLL_MILLISECONDS: Final = 1000
_STOP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """A policy in force with what belongs to it alone: its encoded answers and its memory of verified tokens."""

    policy: CompiledPolicy
    encoder: Encoder
    tokens: TokenReader
    findings: tuple[Finding, ...] = ()


class PolicyStore:
    """Holds the policy in force, and replaces it while checks go on.

    Args:
        path: the policy's file or directory.
        environment: where the service runs.
        keys: the sources of the issuers' keys.
        on_reload: told after each attempt whether the newest version is the one in force.
    """

    def __init__(
        self, path: Path, environment: str, keys: KeySources, on_reload: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._path = path.absolute()
        self._environment = environment
        self._keys = keys
        self._on_reload = on_reload
        self._seen = fingerprint(self._path)
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="policy watcher", daemon=True)
        self.active = self._load()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer. The policy in force stays; a load that is under way is not waited for."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def reload(self) -> bool:
        """Load the policy anew, and put it in force if it has no errors.

        Returns: whether it was put in force; if not, the log says why and the last good one stays.
        """
        try:
            loaded = self._load()
        except (PolicyError, PolicyFilesError, UnknownEnvironmentError) as error:
            _log.error("the new policy is refused, revision %s stays in force:\n%s", self.active.policy.revision, error)
            return False
        except Exception:  # noqa: BLE001 - what is logged in full is not hidden
            # A fault of ours refuses the version like a mistake of its author, or health would go on to praise it.
            _log.exception("the new policy cannot be loaded, revision %s stays in force", self.active.policy.revision)
            return False
        self.active = loaded
        self._keys.keep_only(loaded.policy.providers.values())
        _log.info("policy %s is in force, revision %s", loaded.policy.name, loaded.policy.revision)
        return True

    def _load(self) -> ActivePolicy:
        with collector_at_rest():
            loaded = load_policy(read_sources(self._path), self._environment, now())
        providers = loaded.policy.providers
        tokens = TokenReader(providers, self._keys.of(providers.values()))
        return ActivePolicy(loaded.policy, Encoder(loaded.policy), tokens, loaded.findings)

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
