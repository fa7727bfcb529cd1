"""The policy in force in this process: put together beside the checks, swapped as one reference, freed in parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from operator import itemgetter
from threading import Thread
from typing import Final, NamedTuple
from weakref import ReferenceType, ref

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.generation import Generation
from cors_authz.edge.jwks import KeySources
from cors_authz.edge.metrics.catalogue import EXCEPTION_EXPIRES, POLICY, POLICY_LOADED, POLICY_NEWEST, RELOADS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.parts import PAUSE_SECONDS, Assembled, Held, put_together
from cors_authz.edge.tokens import TokenReader
from cors_authz.envoy.encode import Encoder
from cors_authz.policy.compiled import CompiledPolicy

_log = logging.getLogger(__name__)

_LONGEST_CHECKS: Final = 1000
"""For so many pauses the checks under the former policy are waited for: they take a fraction of one."""
_MOST_EXCEPTIONS: Final = 200
_ENDED_SECONDS: Final = 86_400
"""How long an exception that has ended is shown: what stopped working then is asked about the next day."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ActivePolicy:
    """A policy in force with what belongs to it: its encoded answers and its memory of verified tokens."""

    policy: CompiledPolicy
    encoder: Encoder
    tokens: TokenReader


class Prepared(NamedTuple):
    """A policy that is ready to be swapped in."""

    active: ActivePolicy
    held: Held


class PolicyStore:
    """Holds the policy in force, and replaces it while checks go on.

    `active` is there once a first policy was swapped in. One thread prepares and swaps; any may read `active`.

    Args:
        keys: the sources of the issuers' keys.
        sleep: waits for so many seconds, while other threads run.
        clock: gives the time in seconds since the epoch.
        let_go: lets everyone let go of checks that are over.
    """

    active: ActivePolicy

    def __init__(
        self,
        keys: KeySources,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = now_seconds,
        let_go: Callable[[], object] = lambda: None,
    ) -> None:
        self._let_go = let_go
        self._keys = keys
        self._sleep = sleep
        self._clock = clock
        self._reloads = _Reloads()
        self._held: Held | None = None
        self._freeing: Thread | None = None

    def put_in_force(self, generation: Generation) -> None:
        """Prepare a version of the policy and swap it in.

        Raises: PartsError if it cannot be put together; the last one stays in force then.
        """
        self.swap(self.prepare(generation.parts))

    def prepare(self, parts: Iterable[bytes]) -> Prepared:
        """Put a version of the policy together, with pauses as soon as there are checks to let through.

        Args:
            parts: `Generation.parts`, from the process that compiled them.

        Raises: PartsError if it cannot be put together.
        """
        if self._freeing:
            # Never three at once.
            self._freeing.join()
        with collector_at_rest():
            assembled = put_together(parts, self._pause if self._held else _go_on)
        return Prepared(self._activated(assembled), assembled.held)

    def swap(self, prepared: Prepared) -> None:
        """Put what was prepared in force, and begin to free what was."""
        former, held = (ref(self.active), self._held) if self._held else (None, None)
        self.active, self._held = prepared
        self._reloads.swapped(self._clock())
        policy = prepared.active.policy
        self._keys.keep_only(policy.providers.values())
        if former and held:
            _log.info("policy %s is in force, revision %s", policy.name, policy.revision)
            self._freeing = Thread(target=self._free, args=(former, held), name="former policy", daemon=True)
            self._freeing.start()

    def say_newest(self, *, in_force: bool) -> None:
        """Note whether the newest version of the policy is the one in force: after each swap, and at each refusal."""
        self._reloads.said(in_force=in_force)

    def samples(self) -> Iterator[Sample]:
        """Read what is known of the policy in force, of its exceptions and of its tokens; a `Source`."""
        yield from self._reloads.samples()
        if self._held is None:
            return
        policy = self.active.policy
        yield Sample(POLICY, (policy.name, policy.revision, policy.environment), 1)
        shown_from = self._clock() - _ENDED_SECONDS
        ends = ((name, until) for name, until in policy.exceptions_until.items() if until >= shown_from)
        for name, until in nsmallest(_MOST_EXCEPTIONS, ends, key=itemgetter(1)):
            yield Sample(EXCEPTION_EXPIRES, (name,), until)
        yield from self.active.tokens.samples()

    def _activated(self, assembled: Assembled) -> ActivePolicy:
        policy: CompiledPolicy = assembled.value
        return ActivePolicy(policy, Encoder(policy), self._tokens(policy))

    def _tokens(self, policy: CompiledPolicy) -> TokenReader:
        # The verdict on a token follows from the rules of its provider: under the same ones it stands.
        if self._held and self.active.policy.providers == policy.providers:
            return self.active.tokens
        return TokenReader(policy.providers, self._keys.of(policy.providers.values()))

    def _free(self, former: ReferenceType[ActivePolicy], held: Held) -> None:
        # A check that still goes on keeps all of it alive, and would free it in one go at its end.
        for _ in range(_LONGEST_CHECKS):
            if former() is None:
                break
            self._pause()
        self._let_go()
        held.free(self._pause)

    def _pause(self) -> None:
        self._sleep(PAUSE_SECONDS)


class _Reloads:
    """Counts the versions of the policy."""

    def __init__(self) -> None:
        self._in_force = 0
        self._refused = 0
        self._loaded_at = 0.0
        self._newest_in_force = False
        self._was_told = False

    def swapped(self, now: float) -> None:
        self._in_force += 1
        self._loaded_at = now
        self._was_told = False

    def said(self, *, in_force: bool) -> None:
        # What is said right after a swap is how things stand: a newer version may be on its way.
        if not in_force and self._was_told:
            self._refused += 1
        self._was_told = True
        self._newest_in_force = in_force

    def samples(self) -> Iterator[Sample]:
        yield Sample(RELOADS, ("in_force",), self._in_force)
        yield Sample(RELOADS, ("refused",), self._refused)
        if self._in_force:
            yield Sample(POLICY_LOADED, (), self._loaded_at)
            yield Sample(POLICY_NEWEST, (), int(self._newest_in_force))


def _go_on() -> None:
    """Do not pause: nobody is served yet."""
