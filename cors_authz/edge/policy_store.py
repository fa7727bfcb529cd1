"""The policy in force in this process: put together beside the checks, swapped as one reference, freed in parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Thread
from typing import Final, NamedTuple
from weakref import ReferenceType, ref

from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.generation import Generation
from cors_authz.edge.jwks import KeySources
from cors_authz.edge.parts import PAUSE_SECONDS, Assembled, Held, put_together
from cors_authz.edge.tokens import TokenReader
from cors_authz.envoy.encode import Encoder
from cors_authz.policy.compiled import CompiledPolicy

_log = logging.getLogger(__name__)

_LONGEST_CHECKS: Final = 1000
"""For so many pauses the checks under the former policy are waited for: they take a fraction of one."""


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
    """

    active: ActivePolicy

    def __init__(self, keys: KeySources, sleep: Callable[[float], object] = time.sleep) -> None:
        self._keys = keys
        self._sleep = sleep
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
        policy = prepared.active.policy
        self._keys.keep_only(policy.providers.values())
        if former and held:
            _log.info("policy %s is in force, revision %s", policy.name, policy.revision)
            self._freeing = Thread(target=self._free, args=(former, held), name="former policy", daemon=True)
            self._freeing.start()

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
        held.free(self._pause)

    def _pause(self) -> None:
        self._sleep(PAUSE_SECONDS)


def _go_on() -> None:
    """Do not pause: nobody is served yet."""
