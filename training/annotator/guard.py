"""Access control of the server: requests must name its host, come from its own page, and have the token."""

import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROTOCOL = "annotate"
"""The websocket's subprotocol. The token is a second one, ``token.<token>``: browsers can send no other header."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Wraps an application for HTTP and websockets. Refused requests get the status 403.

    Args:
        hosts: accepted values of the Host header, such as ``127.0.0.1:8000``. Other names that resolve to this
            machine are refused, as an attack could use them (DNS rebinding).
        open_paths: paths without token: the static files of the page, which contain nothing of the video.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], open_paths: Iterable[str]):
        self.app, self.token = app, token
        self.hosts, self.open_paths = frozenset(host.lower() for host in hosts), frozenset(open_paths)

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
        host = headers.get("host", "").lower()  # names of hosts have no case, and browsers write them small
        if len(headers.getlist("host")) != 1 or host not in self.hosts:
            return "the address names another host"
        origins = headers.getlist("origin")
        if any(urlsplit(origin.lower())[:2] != ("http", host) for origin in origins):
            return "the request is not from this program's page"
        if not origins and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "the request is not from this program's page"
        if scope["type"] == "http" and scope["path"] in self.open_paths:
            return None
        has_token = secrets.compare_digest(_token(scope, headers).encode(), self.token.encode())
        return None if has_token else "the token is missing or wrong"


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
