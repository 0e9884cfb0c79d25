"""The web server of the page: its files, frames and masks over HTTP, everything else over one websocket.

It starts before the networks are loaded, and does not import them, so that the page appears immediately.
"""

import asyncio
import contextlib
import json
import logging
import mimetypes
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bl30k_gen.errors import DiskFull, UserError
from training.annotator.guard import PROTOCOL, Guard
from training.annotator.images import MAX_UPLOAD, Size, encode_runs, image
from training.inference.video import Frames

if TYPE_CHECKING:
    from training.annotator.workspace import News, Workspace

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
MAX_MESSAGE = 2**20
"""Bytes of a message over the websocket."""
MAX_UNSENT = 256
"""Unsent messages before the connection to a tab is closed; it reconnects and gets the whole state."""


class Server:
    """Serves one workspace.

    Args:
        make: opens the workspace; called in its own thread.
        host, port: address to listen at; port 0 takes any free port.
    """

    def __init__(self, frames: Frames, make: Callable[[], "Workspace"], host: str, port: int):
        self.frames = frames
        self.token = secrets.token_urlsafe(24)
        self.workspace: Workspace | None = None
        self.failure: BaseException | None = None
        self._made = asyncio.Event()
        self._make = make
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        names = {host, "localhost", "127.0.0.1", "[::1]"} if _is_local(host) else {host, *_own_names(host)}
        self.hosts = {f"{name}:{self.port}" for name in names}
        shown = "127.0.0.1" if host in ("", "0.0.0.0", "localhost") else host
        self.url = f"http://{shown}:{self.port}/#{self.token}"
        self._files = {f"/static/{f.relative_to(STATIC).as_posix()}": f for f in STATIC.rglob("*") if f.is_file()}
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.application(),
                log_level="warning",
                ws_max_size=MAX_MESSAGE,
                timeout_graceful_shutdown=2,
                server_header=False,
                h11_max_incomplete_event_size=64 * 1024,
            )
        )

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM. Raises UserError if the session cannot be opened."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            if self.workspace:
                self.workspace.close()
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        self._server.should_exit = True

    def application(self) -> Guard:
        """The guarded application."""
        open_paths = {"/", "/favicon.ico", *self._files}
        routes = [
            Route("/", self._page),
            Route("/favicon.ico", self._favicon),
            Route("/api/frame/{number:int}", self._frame),
            Route("/api/mask/{number:int}", self._mask),
            Route("/api/mask/{number:int}", self._upload, methods=["PUT"]),
            WebSocketRoute("/api/socket", self._socket_route),
            *(Route(path, self._page) for path in self._files),
        ]
        app = Starlette(routes=routes, lifespan=self._lifespan)
        return Guard(app, self.token, self.hosts, open_paths)

    # Parts

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def make() -> None:
            try:
                self.workspace = self._make()
                loop.call_soon_threadsafe(self._made.set)
                self.workspace.wait_until_open()
            except BaseException as error:  # noqa: BLE001 (raised again by ``run``)
                self.failure = error
                self.stop()

        threading.Thread(target=make, name="opening", daemon=True).start()
        ticking = asyncio.create_task(self._tick())
        yield
        ticking.cancel()

    async def _tick(self) -> None:
        await self._made.wait()
        while True:
            await asyncio.sleep(0.5)
            assert self.workspace is not None
            self.workspace.tick()

    async def _page(self, request: HttpRequest) -> Response:
        path = request.url.path
        file = STATIC / "index.html" if path == "/" else self._files[path]
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return Response(
            await run_in_threadpool(file.read_bytes), media_type=kind, headers={"Cache-Control": "no-cache"}
        )

    async def _favicon(self, _: HttpRequest) -> Response:
        return Response(await run_in_threadpool((STATIC / "icon.svg").read_bytes), media_type="image/svg+xml")

    async def _frame(self, request: HttpRequest) -> Response:
        number, asked = request.path_params["number"], request.query_params.get("size", "view")
        size: Size | None = next((size for size in get_args(Size) if size == asked), None)
        if number >= len(self.frames) or size is None:
            return PlainTextResponse("there is no such frame", 404)
        try:
            data, kind = await run_in_threadpool(image, self.frames, number, size)
        except Exception as error:
            return PlainTextResponse(_said(error), 500)
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=86400, immutable"})

    async def _mask(self, request: HttpRequest) -> Response:
        number, which = request.path_params["number"], request.query_params.get("which", "now")
        await self._made.wait()
        assert self.workspace is not None
        if number >= len(self.frames) or which not in ("now", "before", "truth"):
            return PlainTextResponse("there is no such mask", 404)
        try:
            ids, version = await run_in_threadpool(self.workspace.mask, number, which)
        except ValueError as error:
            return PlainTextResponse(str(error), 404)
        data = await run_in_threadpool(encode_runs, ids, version)
        return Response(data, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    async def _upload(self, request: HttpRequest) -> Response:
        await self._made.wait()
        assert self.workspace is not None
        number = request.path_params["number"]
        if number >= len(self.frames):
            return PlainTextResponse("there is no such frame", 404)
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_UPLOAD:
                return PlainTextResponse(f"a mask has at most {MAX_UPLOAD >> 20} MiB", 413)
        try:
            await asyncio.wrap_future(self.workspace.set_mask(number, bytes(data)))
        except Exception as error:
            return PlainTextResponse(_said(error), 422)
        return Response(status_code=204)

    async def _socket_route(self, websocket: WebSocket) -> None:
        await websocket.accept(PROTOCOL)
        try:
            await self._made.wait()
        except asyncio.CancelledError:  # the server stops before the session is open
            return
        assert self.workspace is not None
        news: asyncio.Queue[News] = asyncio.Queue(MAX_UNSENT)
        with self._listening(self.workspace, news):
            sending = asyncio.create_task(_send(websocket, news))
            try:
                await news.put({"hello": await run_in_threadpool(self.workspace.hello)})
                while True:
                    text = await websocket.receive_text()
                    asyncio.create_task(self._answer(text, news))  # noqa: RUF006
            except (WebSocketDisconnect, KeyError):  # KeyError: bytes instead of text
                pass
            finally:
                sending.cancel()

    async def _answer(self, text: str, news: "asyncio.Queue[News]") -> None:
        from pydantic import ValidationError

        from bl30k_gen.settings import first_mistake
        from training.annotator.messages import Request

        assert self.workspace is not None
        number: int | None = None
        try:
            request = Request.model_validate_json(text)
            number = request.id
            answer = await self._do(request, self.workspace)
            await news.put({"answer": number, "done": answer})
        except ValidationError as error:
            where, mistake = first_mistake(error)
            await news.put({"answer": number, "error": f"the message is not understood ({where}: {mistake})"})
        except Exception as error:
            await news.put({"answer": number, "error": _said(error)})

    async def _do(self, request: Any, workspace: "Workspace") -> str:
        if request.action:
            return await asyncio.wrap_future(workspace.act(request.action))
        if request.look:
            return await asyncio.wrap_future(workspace.look(request.look))
        if request.export:
            return await asyncio.wrap_future(workspace.export(request.export))
        if request.control:
            workspace.control(request.control)
        if request.visit is not None:
            workspace.visit(request.visit)
        if request.study:
            workspace.start_study()
        return ""

    @contextlib.contextmanager
    def _listening(self, workspace: "Workspace", news: "asyncio.Queue[News]") -> Iterator[None]:
        """Put the workspace's messages, which come from its thread, into the queue."""
        loop = asyncio.get_running_loop()

        def put(one: "News") -> None:
            if news.full():  # the tab does not read; after reconnecting it gets the whole state
                while not news.empty():
                    news.get_nowait()
                news.put_nowait({"close": True})
            else:
                news.put_nowait(one)

        def listener(one: "News") -> None:
            loop.call_soon_threadsafe(put, one)

        workspace.listeners.add(listener)
        try:
            yield
        finally:
            workspace.listeners.discard(listener)


def _said(error: Exception) -> str:
    """The message to the page: a refusal in its own words, or that the program has failed."""
    if isinstance(error, DiskFull):  # its remedy names a command, but the page has none
        return f"{error.what}: free some space (or quota) there and try again"
    if isinstance(error, UserError | ValueError):
        return str(error)
    log.error("a request failed", exc_info=error)
    return f"the program has failed here ({type(error).__name__}: {error}); its terminal says more"


async def _send(websocket: WebSocket, news: "asyncio.Queue[News]") -> None:
    while True:
        one = await news.get()
        if "close" in one:
            await websocket.close(1013)
            return
        await websocket.send_text(json.dumps(one, separators=(",", ":")))


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise UserError(f"--host {host} --port {port}", error.strerror or str(error)) from None


def _is_local(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


def _own_names(host: str) -> set[str]:
    """Names and addresses of this machine, for a server that other machines may reach at ``host``.

    Raises UserError if it listens at all addresses, and none is known.
    """
    name = socket.gethostname()
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    except socket.gaierror as error:
        addresses = set()
        if host in ("", "0.0.0.0"):
            what = f"--host {host}: this machine's name {name} has no address ({error.strerror})"
            raise UserError(what, "give --host one address of this machine") from None
    return {"127.0.0.1", "localhost", name, socket.getfqdn(), *addresses}
