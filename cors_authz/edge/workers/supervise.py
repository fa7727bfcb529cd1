"""The service as several processes: one that watches the policy and supervises, and the workers that serve by it."""

from __future__ import annotations

import os
from contextlib import closing

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.ending import SIGNALS
from cors_authz.edge.generations import Generations
from cors_authz.edge.settings import Settings
from cors_authz.edge.workers.mailbox import Mailbox
from cors_authz.edge.workers.supervisor import Supervisor


def supervise(settings: Settings) -> None:
    """Keep the workers up until a signal ends it, then drain them.

    Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError, GenerationError before anything is served;
        WorkersError if a worker cannot listen at first, or once none can be kept up.
    """
    with (
        closing(Mailbox()) as mailbox,
        closing(Supervisor(settings, os.environ, monotonic_seconds, mailbox)) as workers,
    ):
        generations = Generations(
            settings.policy,
            settings.environment,
            lambda generation: mailbox.put(lambda: workers.offer(generation)),
            lambda in_force: None if in_force else mailbox.put(workers.refuse),
        )
        try:
            # They make ready while the policy is compiled.
            workers.start()
            generations.first()
            mailbox.put_at(SIGNALS, workers.leave)
            generations.start()
            workers.run()
        finally:
            generations.stop()
