"""Who may speak to the server: requests for this very host, from its own page, with the token."""

import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROTOCOL = "annotate"
"""The websocket's subprotocol. The token comes beside it, as ``token.<token>``: browsers send no other header."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Wraps an application, HTTP and websocket alike. What is refused gets 400 or 403.

    Args:
        hosts: values of the Host header that are served, such as ``127.0.0.1:8000``. Names that resolve to this
            machine without being listed are how foreign pages would get in (DNS rebinding).
        open_paths: paths that need no token: the page itself, which holds nothing of the video.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], open_paths: Iterable[str]):
        self.app, self.token = app, token
        self.hosts, self.open_paths = frozenset(hosts), frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await PlainTextResponse(refusal, 403)(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})  # before accepting: HTTP 403

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.getlist("host") != [host := headers.get("host", "")] or host.lower() not in self.hosts:
            return "this host is not served"
        origins = headers.getlist("origin")
        if any(urlsplit(origin)[:2] != ("http", host) for origin in origins):
            return "the page is another's"
        if not origins and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "the page is another's"
        if scope["type"] == "http" and scope["path"] in self.open_paths:
            return None
        return None if secrets.compare_digest(_token(scope, headers).encode(), self.token.encode()) else "no token"


def _token(scope: Scope, headers: Headers) -> str:
    if scope["type"] == "http":
        return headers.get("authorization", "").removeprefix("Bearer ")
    return next((p.removeprefix("token.") for p in scope.get("subprotocols", ()) if p.startswith("token.")), "")


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return wrapped
