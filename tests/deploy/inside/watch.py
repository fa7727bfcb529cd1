"""When the kubelet brought the policy's files, and when a check was decided by them. Runs beside the service."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import grpc

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse

PAUSE_SECONDS = 0.01
MOST_SECONDS = 180
METHOD = "/envoy.service.auth.v3.Authorization/Check"


def main(request: str, folder: str) -> None:
    """Wait until the request, in hexadecimal, is answered differently, and print the seconds between the two."""
    with grpc.insecure_channel("127.0.0.1:9191") as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, CheckResponse]
        check = channel.unary_unary(METHOD, None, CheckResponse.FromString)
        old_files, old_answer = Path(folder).readlink(), check(bytes.fromhex(request)).denied_response.status.code
        print("watching", flush=True)
        end = time.monotonic() + MOST_SECONDS
        brought = None
        while time.monotonic() < end:
            if brought is None and Path(folder).readlink() != old_files:
                brought = time.monotonic()
            if check(bytes.fromhex(request)).denied_response.status.code != old_answer:
                print(json.dumps(time.monotonic() - (brought or time.monotonic())))
                return
            time.sleep(PAUSE_SECONDS)
    sys.exit("the answer stayed")


if __name__ == "__main__":
    main(*sys.argv[1:])
