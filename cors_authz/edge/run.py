"""The service from start to end, as one process or as several."""

from __future__ import annotations

import logging
import os

from cors_authz.edge.alone import serve_alone
from cors_authz.edge.cores import usable_cores
from cors_authz.edge.ending import end_at_once
from cors_authz.edge.settings import Settings
from cors_authz.edge.transport.experiments import experiments
from cors_authz.edge.workers.supervise import supervise

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until a signal ends it, then drain. To be called before `grpc` is imported, and in the main thread.

    Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError, GenerationError, TransportError or WorkersError
        before anything is served; WorkersError, too, once no worker can be kept up.
    """
    end_at_once()
    cores = usable_cores()
    if settings.workers > cores:
        _log.warning("%d workers share %d cores; `--workers auto` starts one for each", settings.workers, cores)
    if settings.grpc_experiments is not None:
        os.environ["GRPC_EXPERIMENTS"] = settings.grpc_experiments
    os.environ.update(experiments(max(1, cores // settings.workers), os.environ))
    if settings.workers == 1:
        serve_alone(settings)
    else:
        supervise(settings)
