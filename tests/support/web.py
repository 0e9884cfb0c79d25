"""A web server on this machine, and images gathered from it."""

import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from bl30k_gen.config import Limits
from bl30k_gen.library.fetch import gather
from bl30k_gen.library.fetch.gather import GatherRequest
from bl30k_gen.library.fetch.providers import AddressList
from bl30k_gen.seeding import rng

FAST: dict[str, Any] = {"per_second": 500.0, "back_off": 0.02, "timeout": 5.0, "deadline": 10.0}
SMALL: dict[str, Any] = {"side": 32, "limits": Limits(max_faces=1, max_image_side=256, max_megapixels=1)}


def image(seed=0, size=(48, 40), format="JPEG", **options) -> bytes:
    """A smooth image that differs from those of other seeds."""
    coarse = rng(seed, "test picture").integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, format, **options)
    return buffer.getvalue()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore errors: clients disconnect in the middle, on purpose."""


class Server:
    """Answers on 127.0.0.1. ``routes``: path -> bytes, (status, headers, body), or a function of the request."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        self.asked: list[str] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append(self.path)
                outer.times.append(time.monotonic())
                outer.agents.add(self.headers["User-Agent"])
                answer = outer.routes.get(urlsplit(self.path).path, (404, {}, b"nothing here"))
                if callable(answer):
                    answer = answer(self)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
                body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
                self.send_response(status)
                for name, value in ({"Content-Length": len(body)} | headers).items():
                    if value is not None:
                        self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)
                if headers.get("Connection") == "close":
                    self.close_connection = True

            def query(self):
                return {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}

            def log_message(self, *_):
                pass

        self._server = _QuietServer(("", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def collect(provider, client, out, keywords=("wood",), count=5, kind="textures", **request):
    request = GatherRequest(kind, tuple(keywords), count, **(SMALL | request))
    return gather.gather(provider, client, request, out, workers=3, tick=lambda _: None)


def from_list(server, tmp_path, *paths) -> AddressList:
    (tmp_path / "urls.txt").write_text("".join(f"{server.url}{path}\n" for path in paths))
    return AddressList(tmp_path / "urls.txt")


def openverse(server, total):
    """Answers like those of api.openverse.org to /v1/images/."""

    def answer(request):
        query = request.query()
        page, size = int(query["page"]), int(query["page_size"])
        if size > 20:
            return 401, {}, {"detail": "page_size must be between 1 & 20 for anonymous requests."}
        results = [
            {
                "id": f"00000000-0000-0000-0000-{n:012d}",
                "title": f"Plank {n}",
                "foreign_landing_url": f"https://www.flickr.com/photos/someone/{n}",
                "url": f"{server.url}/pictures/{n}.jpg",
                "creator": "Some One",
                "creator_url": "https://www.flickr.com/photos/someone",
                "license": "by" if n % 2 else "by-nc",
                "license_version": "2.0",
                "license_url": "https://creativecommons.org/licenses/by/2.0/",
                "provider": "flickr",
                "height": 40,
                "width": 48,
            }
            for n in range((page - 1) * size, min(page * size, total))
        ]
        pages = -(-total // size)
        body = {"result_count": total, "page_count": pages, "page_size": size, "page": page, "results": results}
        return 200, {"Content-Type": "application/json"}, body

    server.routes["/v1/images/"] = answer
    server.routes |= {f"/pictures/{n}.jpg": image(n) for n in range(total)}
