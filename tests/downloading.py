"""What tests of downloads share: a server on 127.0.0.1 that behaves as badly as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import ProxyHandler, build_opener

from napari_sam_i2v.network.registry import ModelInfo
from tests import tiny

MODEL = ModelInfo(
    name="test-i2v",
    variant=tiny.VARIANT,
    summary="weights that nobody trained",
    licence="MIT",
    source="https://example.org/test",
)
"""What the server serves, as a published model; nothing else stands under its name."""

PATH = "/weights.safetensors"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass
class Reply:
    """How a path is answered."""

    body: bytes = b""
    status: int = 200
    length: int | None = -1
    """Of Content-Length: -1 is the true one, None leaves it out."""
    kind: str = "application/octet-stream"
    hold_after: int | None = None
    """Send so many bytes, then wait for `Server.go`."""


@dataclass
class Server:
    """A running server."""

    port: int
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = PATH) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def serving() -> Iterator[Server]:
    """Serve `Server.replies`; asked for another server's address, be its proxy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            reply = server.replies.get(self.path) or self.forwarded()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            if reply.length is not None:
                length = len(reply.body) if reply.length == -1 else reply.length
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.send(reply)

        def forwarded(self) -> Reply:
            if not self.path.startswith("http://"):
                return Reply(b"nothing here", 404)
            with build_opener(ProxyHandler({})).open(self.path) as answer:
                return Reply(answer.read())

        def send(self, reply: Reply) -> None:
            first = len(reply.body) if reply.hold_after is None else reply.hold_after
            try:
                self.wfile.write(reply.body[:first])
                self.wfile.flush()
                if reply.hold_after is not None:
                    server.go.wait(600)
                    self.wfile.write(reply.body[first:])
            except ConnectionError:
                pass  # the client has left

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

    with Quiet(("127.0.0.1", 0), Handler) as listener:
        server = Server(listener.server_address[1])
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            listener.shutdown()
            thread.join()
