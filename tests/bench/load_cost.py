"""What one stage of loading a policy costs in a process of its own: `python -m tests.bench.load_cost STAGE PATH`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.policy_files import read_sources
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.load import check_policy, load_policy

ENVIRONMENT: Final = "prod"
_PEAK: Final = re.compile(r"VmHWM:\s+(\d+) kB")

# Each stage contains the one before it.
STAGES: Final[Mapping[str, Callable[[Sequence[Source]], object]]] = {
    "parse": read_documents,
    "check": lambda sources: check_policy(sources, ENVIRONMENT),
    "compile": lambda sources: load_policy(sources, ENVIRONMENT),
}


def main(stage: str, path: str) -> None:
    """Print the seconds from the files on, and the peak of the process."""
    begin = time.monotonic()
    with collector_at_rest():
        kept = STAGES[stage](read_sources(Path(path)))
    seconds = time.monotonic() - begin
    # Not ru_maxrss: that of a child begins with what its parent held.
    peak = int(_PEAK.findall(Path("/proc/self/status").read_text())[0]) * 1024
    sys.stdout.buffer.write(orjson.dumps({"seconds": seconds, "peak_bytes": peak, "kept": kept is not None}))


if __name__ == "__main__":
    main(*sys.argv[1:])
