"""A server on the loopback address that plays every bad connection."""

import ssl
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

LOGIN_PAGE = b"<!DOCTYPE html><html><body>Room number?</body></html>"
# Of 127.0.0.1 until 2120, signed by itself; the key guards nothing.
CERTIFICATE = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4dprWfBXTc0fIfhn
T/7QfOC7Mk1VPuCjvhQgI5SUs8qhRANCAAQOi6iLFSZyeookscR0sh3Z37pQjr7X
yunPRRfZvKMzQ9q80a/xHRpRbDBy9Gj2Z0pmOb9BX+N+LqofaXTyQm8q
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBajCCARCgAwIBAgIBATAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhsb29wYmFj
azAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowEzERMA8GA1UEAwwI
bG9vcGJhY2swWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQOi6iLFSZyeookscR0
sh3Z37pQjr7XyunPRRfZvKMzQ9q80a/xHRpRbDBy9Gj2Z0pmOb9BX+N+LqofaXTy
Qm8qo1MwUTAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIChDAPBgNVHREE
CDAGhwR/AAABMB0GA1UdDgQWBBR01aQhS8TWiLypoFrXSEh0ugNB3DAKBggqhkjO
PQQDAgNIADBFAiEAkbYU/i3zw8NT6cW6eh+lziY46TjGMOKFKIi0FynFsnYCIDES
dhG0Wcx5BACDRmnKsYp+kk8YDqkzQJLOmV/qpP93
-----END CERTIFICATE-----
"""


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
        def do_CONNECT(self):  # asked as a proxy
            self.send_error(403 if self.path.startswith("forbidden") else 407)

        def do_GET(self):
            if "://" in self.path:
                self.send_error(407)
                return
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
def serving(certificate=None):
    """Run the server in a thread, as https with the Path of a certificate.

    Yields a Loopback.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
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
