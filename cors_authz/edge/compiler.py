"""The child that compiles one version of the policy: `python -m cors_authz.edge.compiler PATH ENVIRONMENT`.

It writes to standard output what `generation.read_generation` reads, and ends when its standard input does.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Final

from cors_authz.edge.clock import now
from cors_authz.edge.generation import GenerationError, write_compiled, write_refusal
from cors_authz.edge.policy_files import PolicyFilesError, read_sources
from cors_authz.policy.finding import PolicyError, UnknownEnvironmentError
from cors_authz.policy.load import load_policy

_NICENESS: Final = 10
"""Checks go first."""


def main() -> None:
    """Compile the policy that the command line names."""
    os.nice(_NICENESS)
    # All that is made here is freed with the process, and none of it refers back: see collector_at_rest.
    gc.disable()
    Thread(target=_end_with_parent, daemon=True).start()
    pipe = os.fdopen(os.dup(1), "wb")
    # Whatever prints something must not speak in the pipe.
    os.dup2(2, 1)
    with pipe:
        compile_into(pipe.write, Path(sys.argv[1]), sys.argv[2])


def compile_into(write: Callable[[bytes], object], path: Path, environment: str) -> None:
    """Compile a policy and write it, or why it cannot be."""
    try:
        loaded = load_policy(read_sources(path), environment, now())
        policy, findings = loaded.policy, loaded.findings
    except (PolicyError, PolicyFilesError, UnknownEnvironmentError) as error:
        write_refusal(write, error.with_traceback(None))
    except Exception:  # noqa: BLE001 - it is told in full to the process that logs
        write_refusal(write, GenerationError(traceback.format_exc()))
    else:
        # The text that it was compiled from is the larger part.
        del loaded
        write_compiled(write, policy, findings)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
