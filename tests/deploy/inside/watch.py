"""When the kubelet brought the policy's files, and when a check was decided by them. Runs beside the service."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse

PAUSE_SECONDS = 0.01
MOST_SECONDS = 180
METHOD = "/envoy.service.auth.v3.Authorization/Check"


def main(request: str, folder: str, status: str) -> None:
    """Wait until the request, in hexadecimal, is answered by the status, and print the seconds between the two."""
    with grpc.insecure_channel("127.0.0.1:9191") as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, CheckResponse]
        check = channel.unary_unary(METHOD, None, CheckResponse.FromString)
        watch(lambda: str(check(bytes.fromhex(request)).denied_response.status.code) == status, Path(folder))


def watch(decided: Callable[[], bool], link: Path) -> None:
    """Wait until the link leads elsewhere, and then until it is decided so; the other way round is an error."""
    old, brought = link.readlink(), 0.0
    if decided():
        sys.exit("it was decided so before")
    print("watching", flush=True)
    end = time.monotonic() + MOST_SECONDS
    while time.monotonic() < end:
        if not brought and link.readlink() != old:
            brought = time.monotonic()
        if decided():
            if not brought:
                sys.exit("it was decided so before the files came")
            print(json.dumps(time.monotonic() - brought))
            return
        time.sleep(PAUSE_SECONDS)
    sys.exit("the answer stayed")


if __name__ == "__main__":
    main(*sys.argv[1:])
