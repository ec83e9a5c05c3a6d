"""The API over HTTP: reads a request off the socket, writes the response back, stops when it is
told to.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from car_rental.api import Api, Request, Response
from car_rental.config import Config

LARGEST_BODY = 64 * 1024


class Server(ThreadingHTTPServer):
    """One thread a request, and one request a connection: closing waits for those under way and for
    nothing else.
    """

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, config: Config) -> None:
        super().__init__((config.host, config.port), Handler)
        self.api = Api(config)
        self.allowed_origin = config.allowed_origin

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()
        return f"http://{host}:{port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10  # seconds that a silent client may hold its thread, and so a shutdown

    def _handle(self) -> None:
        try:
            response = self._response()
        except OSError:  # the client is gone or silent, so there is nobody to answer
            return
        except Exception:  # one bad request must not cost the others their answer
            traceback.print_exc()
            response = Response(500, {"error": "internal error"})
        self._send(response)

    do_GET = do_POST = do_DELETE = do_OPTIONS = _handle

    def _response(self) -> Response:
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            return Response(400, {"error": "Content-Length must be a number"})
        if int(length) > LARGEST_BODY:
            return Response(413, {"error": f"the body may have {LARGEST_BODY} bytes at most"})
        request = Request(
            method=self.command,
            path=unquote(urlsplit(self.path).path),
            authorization=self.headers.get("Authorization", ""),
            body=self.rfile.read(int(length)),
        )
        return self.server.api.answer(request)

    def _send(self, response: Response) -> None:
        body = b"" if response.content is None else json.dumps(response.content).encode()
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Access-Control-Allow-Origin", self.server.allowed_origin)
        self.send_header("Access-Control-Allow-Methods", "GET, POST, DELETE")
        self.send_header("Access-Control-Allow-Headers", "Authorization, Content-Type")
        self.end_headers()
        self.wfile.write(body)


def serve(config: Config) -> None:
    """Serve until TERM or Ctrl-C, then finish the requests under way and return."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Server(config) as server:
        loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        loop.start()
        print(f"listening on {server.url}", file=sys.stderr, flush=True)
        stop.wait()
        server.shutdown()
        loop.join()
    print("stopped", file=sys.stderr, flush=True)
