"""An upstream that answers everything, and says of CORS what it should not. Runs in the cluster."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8000


class Careless(BaseHTTPRequestHandler):
    """200 to each request, 101 to each WebSocket, and every origin may read."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        upgrade = self.headers.get("Upgrade")
        self.send_response(101 if upgrade else 200)
        self.send_header("Access-Control-Allow-Origin", "*")
        if upgrade:
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", upgrade)
        else:
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = bool(upgrade)

    do_GET = do_POST = do_OPTIONS = _answer  # noqa: N815 (the names that http.server looks for)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests: the load would fill the pod's log."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Careless).serve_forever()
