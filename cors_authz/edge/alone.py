"""The service as one process, which watches its policy and serves by it."""

from __future__ import annotations

import os
from contextlib import ExitStack

from cors_authz.edge.announcement import announce, announce_watchers
from cors_authz.edge.ending import ended_by_signal, wait_for
from cors_authz.edge.generations import Generations
from cors_authz.edge.settings import Settings


def serve_alone(settings: Settings) -> None:
    """Serve until a signal ends it, then drain.

    Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError, GenerationError, TransportError before anything is
        served.
    """
    with ExitStack() as running:
        generations = Generations(
            settings.policy,
            settings.environment,
            lambda generation: serving.store.put_in_force(generation),  # noqa: PLW0108 - not there yet
            lambda in_force: serving.say_newest(in_force=in_force),
        )
        running.callback(generations.stop)
        # The policy is compiled while gRPC is imported.
        from cors_authz.edge.serving import Serving

        serving = Serving(settings)
        running.callback(serving.stop)
        first = generations.first()
        ended = ended_by_signal()
        address = serving.listen(settings.listen)
        serving.say_newest(in_force=True)
        generations.start()
        announce_watchers(settings, os.environ)
        announce(first, (address,))
        wait_for(ended)
        serving.drain()
