"""A server on the loopback address that plays every bad connection."""

import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

LOGIN_PAGE = b"<!DOCTYPE html><html><body>Room number?</body></html>"


class Loopback:
    """Serves `files` under /<role>/<name>; the role says what goes wrong."""

    def __init__(self, port):
        """Start with no files."""
        self.port = port
        self.files = {}
        self.hits = Counter()
        self.is_over = threading.Event()

    def url(self, role, name, content=None):
        """Return the address of a file, after storing its content where given."""
        if content is not None:
            self.files[name] = content
        return f"http://127.0.0.1:{self.port}/{role}/{name}"


def _handler(loopback):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _, role, name = self.path.split("/", 2)
            loopback.hits[name] += 1
            body = loopback.files.get(name)
            if body is None or role == "missing":
                self.send_error(404)
            elif role == "flaky" and loopback.hits[name] <= 2:
                self.send_error(503)
            else:
                self.answer(role, LOGIN_PAGE if role == "login" else body)

        def answer(self, role, body):
            self.send_response(200)
            if "no-length" not in role:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            is_short = role in ("cut-off", "stalled", "no-length-cut-off")
            self.wfile.write(body[: len(body) // 2] if is_short else body)
            self.wfile.flush()
            if role == "stalled":
                loopback.is_over.wait(10)

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def serving():
    """Run the server in a thread; yields a Loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    loopback = Loopback(server.server_address[1])
    server.RequestHandlerClass = _handler(loopback)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}
    )
    thread.start()
    try:
        yield loopback
    finally:
        loopback.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(name="loopback")
def loopback_fixture(monkeypatch):
    """The server, with short waits and no proxy in between."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TL_OFFLINE", raising=False)
    monkeypatch.setattr("tl_helpers.downloads.BACKOFF_S", 0.0)
    monkeypatch.setattr("tl_helpers.downloads.TIMEOUT_S", 0.3)
    with serving() as server:
        yield server
