"""Ask a data plane, once or until it answers as expected. Runs in the cluster; takes and prints JSON."""

from __future__ import annotations

import http.client
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 5


def answered(url: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Give status, headers by their names in lower case, and body; status 0 and why, where there is no answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, {}, repr(error)
    finally:
        connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def expected(answers: list[tuple[int, dict[str, str], str]], wanted: list[list[Any]]) -> bool:
    """Say whether these are the statuses and the origins that may read."""
    found = [[status, headers.get("access-control-allow-origin") or None] for status, headers, _ in answers]
    return found == wanted


def main() -> None:
    """Ask what the first argument says."""
    asked = json.loads(sys.argv[1])
    end = time.monotonic() + asked["seconds"]
    while True:
        answers = [answered(asked["url"], *request) for request in asked["requests"]]
        if asked["expected"] is None or expected(answers, asked["expected"]) or time.monotonic() > end:
            break
        time.sleep(PAUSE_SECONDS)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
