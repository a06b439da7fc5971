"""REST: one route for every command, query and endpoint, made from the registry."""

import math
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel

from handlers import evidence
from handlers.context import Account, Edge, Principal
from handlers.dispatch import translate
from handlers.errors import (
    AtriumError,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    Unauthorized,
    UnknownCommand,
    ValidationFailed,
)
from handlers.groups import Result
from handlers.registry import SPECS, Download, Page, Payload, Redirect, Reply, Spec
from handlers.sheets import as_csv, as_json
from server import calls, envelope, logs, metrics
from server.engine import origin_allowed
from server.limits import Bill
from server.node import Node
from server.origin import origin_of
from storage.ids import new_id
from storage.postgres import LOST
from storage.rooms import KINDS, RoomKey

log = structlog.get_logger(__name__)

BASE: Final = "/api/v1"
COOKIE: Final = "atrium_refresh"
"""Holds a browser's refresh token, out of reach of its scripts; sent to the routes below /auth only."""
BY_COOKIE: Final = frozenset({"auth.logout"})
"""Endpoints with a sign-in that take the cookie for it, where no access token is sent."""
FOR_IMPERSONATORS: Final = frozenset({"auth.me", "auth.list_sessions", "auth.logout"})
"""Endpoints that somebody may use who acts as somebody else: to look, and to end it."""
EXPOSED: Final = (
    "X-Request-Id, Retry-After, Content-Disposition, Content-Range, Accept-Ranges, ETag, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit-Policy, RateLimit"
)
"""Headers of answers that a page of another, allowed origin may read."""
_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,100}")
REQUEST_ID: Final = web.RequestKey("request_id", str)
NEW_COOKIE: Final = web.RequestKey("new_cookie", str)
NEW_COOKIES: Final = web.RequestKey("new_cookies", dict[str, tuple[str, int]])
BILL: Final = web.RequestKey("bill", Bill)
_VERSION: Final = re.compile(r'(?:W/)?"(\d{1,18})"')

BAD_BODY: Final = (HttpProcessingError, web.RequestPayloadError)
"""What aiohttp raises at a body that is not as its headers say: compressed, or in chunks."""
NOT_AS_SAID: Final = "The body cannot be read: it is not as its headers say"

STREAMED: Final = ("upload", "download")
"""Kinds of calls whose bytes do not fit into memory: server/streams.py answers them."""
Route = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[Node, Spec, web.Request], Awaitable[web.StreamResponse]]


def edge(node: Node) -> Middleware:
    """The outermost layer: request id, CORS, errors in the envelope."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id().hex
        request[REQUEST_ID] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        try:
            response = await _handle(node, request, handler)
            log.info(
                "rest.request", method=request.method, path=request.path, status=response.status,
                seconds=round(time.perf_counter() - started, 4),
            )  # fmt: skip
        finally:
            structlog.contextvars.clear_contextvars()
        if not response.prepared:
            finish(node, request, response)
        return response

    return middleware


def finish(node: Node, request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer."""
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    if BILL in request:
        response.headers.update(node.limits.headers(request[BILL]))
    _allow_origin(node, request, response)
    _set_cookie(node, request, response)


async def _handle(node: Node, request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _failure(request, UnknownCommand("There is no such route"))
    except web.HTTPMethodNotAllowed as error:
        response = _failure(request, UnknownCommand("This route does not take this method"))
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPRequestEntityTooLarge:
        return _failure(request, PayloadTooLarge(f"A body may have {node.settings.max_payload} bytes"))
    except web.HTTPException:
        raise
    except Exception as error:
        failure = translate(error)
        logs.refused(failure, method=request.method, path=request.path)
        return _failure(request, failure)


def add_routes(app: web.Application, node: Node) -> None:
    for spec in SPECS.values():
        if spec.route is not None and spec.kind not in STREAMED:
            answer = _export if spec.kind == "export" else _answer
            app.router.add_route(spec.route.method, BASE + spec.route.path, route(node, spec, answer))


def route(node: Node, spec: Spec, answer: Answer) -> Route:
    """A handler of requests that takes note of what becomes of them."""

    async def handle(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        outcome = "ok"
        try:
            return await answer(node, spec, request)
        except Exception as error:
            outcome = translate(error).code if not isinstance(error, web.HTTPException) else str(error.status)
            raise
        finally:
            metrics.COMMANDS.labels(spec.name, outcome).inc()
            seconds = time.perf_counter() - started
            metrics.LATENCY.labels(spec.kind).observe(seconds)
            if seconds > logs.SLOW_CALL and spec.kind not in STREAMED:  # those last as long as their bytes
                logs.slow(spec.name, seconds, request[REQUEST_ID])

    return handle


async def _answer(node: Node, spec: Spec, request: web.Request) -> web.StreamResponse:
    result = await (_endpoint if spec.kind == "endpoint" else _dispatch)(node, spec, request)
    if isinstance(result, Redirect):
        return web.Response(
            status=302, headers={"Location": result.location, "Referrer-Policy": "no-referrer"}
        )
    if isinstance(result, Download):
        return web.Response(body=result.body, headers=_file(spec.produces, result.file))
    return done(spec, result, request)


def done(spec: Spec, result: Result, request: web.Request) -> web.Response:
    """A result in its envelope."""
    body = envelope.success(result, request[REQUEST_ID])
    return web.Response(body=body, status=spec.status, content_type="application/json")


async def call(node: Node, spec: Spec, request: web.Request) -> tuple[Principal, calls.Checked, RoomKey]:
    """Who asks for what, and in which room."""
    principal = await principal_of(node, spec, request)
    return principal, *await placed(node, spec, principal, await _payload(spec, request))


async def placed(
    node: Node, spec: Spec, principal: Principal, data: dict[str, Any]
) -> tuple[calls.Checked, RoomKey]:
    """A payload that fits, and its room."""
    checked = calls.check(spec, data)
    if spec.room == "tenant" and checked.room not in (None, f"tenant:{principal.tenant_id}"):
        raise NotFound("There is no such tenant")
    return checked, await node.dispatcher.locator.room(spec, checked.payload, principal, checked.room)


async def _export(node: Node, spec: Spec, request: web.Request) -> web.StreamResponse:
    """A table as a file, sent page by page: CSV, or a JSON list for who accepts nothing else.

    What fails after the first page cuts the connection off.
    """
    principal, checked, room = await call(node, spec, request)
    json = _wants_json(request)
    async with aclosing(node.dispatcher.export(spec, checked.payload, principal, room)) as pages:
        first = await anext(pages)
        file = f"{spec.file}-{principal.tenant_slug}-{datetime.now(UTC):%Y-%m-%d}.{'json' if json else 'csv'}"
        response = web.StreamResponse(headers=_file("application/json" if json else spec.produces, file))
        finish(node, request, response)
        await response.prepare(request)
        try:
            await response.write(b"[" + as_json(first, first=True) if json else as_csv(first, header=True))
            async for sheet in pages:
                await response.write(as_json(sheet, first=False) if json else as_csv(sheet, header=False))
            await response.write_eof(b"]\n" if json else b"")
        except Exception as error:
            logs.refused(translate(error), name=spec.name, request_id=request[REQUEST_ID])
            if request.transport is not None:
                request.transport.abort()
        return response


def _wants_json(request: web.Request) -> bool:
    """Whether the caller accepts JSON and neither CSV nor anything at all."""
    accepted = {
        part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")
    }
    return "application/json" in accepted and accepted.isdisjoint({"text/csv", "text/*", "*/*"})


def _file(content_type: str, name: str | None) -> dict[str, str]:
    disposition = f'attachment; filename="{name}"' if name else "inline"
    return {"Content-Type": content_type, "Content-Disposition": disposition}


async def _dispatch(node: Node, spec: Spec, request: web.Request) -> Result:
    principal, checked, room = await call(node, spec, request)
    if spec.kind == "query":
        return await node.dispatcher.query(spec, checked.payload, principal, room)
    return await node.dispatcher.submit(
        spec, checked.payload, principal, room,
        command_id=checked.command_id, expected_version=checked.expected_version,
    )  # fmt: skip


async def _endpoint(node: Node, spec: Spec, request: web.Request) -> Result | Redirect | Download:
    account = await _account(node, spec, request)
    if account is not None and account.impersonator_id is not None and spec.name not in FOR_IMPERSONATORS:
        raise Forbidden(
            "Whoever acts as somebody else leaves the account alone", details={"reason": "impersonating"}
        )
    if account is not None and account.bound_to is not None and not spec.bound:
        raise Forbidden(
            "A session that the provider of a tenant has opened ends at that tenant: sign in to your account",
            details={"reason": "session_bound"},
        )
    if spec.platform and account is not None:
        await node.sessions.require_administrator(account)
    checked = calls.check(spec, await _payload(spec, request))
    context = Edge(
        db=node.db,
        settings=node.settings,
        passwords=node.passwords,
        tokens=node.tokens,
        account=account,
        origin=origin_of(request, node.settings),
        rights_changed=node.gateway.announce_rights,
        submit=lambda spec, payload, principal: _submit(node, spec, payload, principal),
        wake_outbox=node.outbox.wake,
        from_page=_from_page(node, request),
        cookie=request.cookies.get(COOKIE),
        cookies=request.cookies,
        oidc=node.oidc,
        vault=node.vault,
        inspect=node.inspector.everywhere,
        call=spec.name,
        payload=checked.payload,
    )
    try:
        reply: BaseModel | Page[Reply] = await _noted(context, spec, spec.handler(context, checked.payload))
    finally:
        request[NEW_COOKIES] = context.new_cookies
        if context.new_cookie is not None:
            request[NEW_COOKIE] = context.new_cookie
    if isinstance(reply, (Redirect, Download)):
        return reply
    if isinstance(reply, Page):
        return Result(reply.data.model_dump_json().encode(), pagination=reply.pagination)
    return Result(reply.model_dump_json().encode())


async def _noted(
    context: Edge, spec: Spec, handled: Awaitable[BaseModel | Page[Reply]]
) -> BaseModel | Page[Reply]:
    """No endpoint that may change something answers without an audit entry, of success or of failure."""
    try:
        reply = await handled
    except Exception as error:
        outcome = translate(error).code
        if spec.changes and context.noted != outcome:
            try:
                async with context.db.transaction(None) as session:
                    await context.note(session, outcome=outcome)
            except LOST as lost:
                log.warning("audit.not_written", action=context.call, outcome=outcome, error=repr(lost))
        raise
    if spec.changes and context.noted != evidence.OK:
        async with context.db.transaction(None) as session:
            await context.note(session)
    return reply


async def principal_of(node: Node, spec: Spec, request: web.Request) -> Principal:
    """Who calls, when the call has been paid for; so has one with a bad token, by its address."""
    try:
        principal = await node.sessions.principal(_token(request), origin_of(request, node.settings))
    except Unauthorized:
        await _charge_stranger(node, spec, request)
        raise
    await _charge(node, request, node.limits.person(spec, principal.user_id, principal.tenant_id))
    structlog.contextvars.bind_contextvars(tenant=str(principal.tenant_id), user=str(principal.user_id))
    if principal.key_name is not None:
        structlog.contextvars.bind_contextvars(api_key=str(principal.session_id))
    return principal


async def _account(node: Node, spec: Spec, request: web.Request) -> Account | None:
    """Whose account an endpoint is called for, None for a public one; paid for as above."""
    if spec.public:
        await _charge_stranger(node, spec, request)
        return None
    try:
        account = await _credential(node, spec, request)
    except (Unauthorized, Forbidden):
        await _charge_stranger(node, spec, request)
        raise
    await _charge(node, request, node.limits.person(spec, account.user_id, account.tenant_id))
    return account


async def _charge_stranger(node: Node, spec: Spec, request: web.Request) -> None:
    await _charge(node, request, node.limits.stranger(spec, origin_of(request, node.settings).address))


async def _charge(node: Node, request: web.Request, bill: Bill) -> None:
    request[BILL] = bill
    await node.limits.charge(bill)


async def _credential(node: Node, spec: Spec, request: web.Request) -> Account:
    cookie = request.cookies.get(COOKIE)
    if spec.name in BY_COOKIE and cookie and "Authorization" not in request.headers:
        if not _from_page(node, request):
            raise Forbidden("Cookies are for pages: send the header X-Requested-With, from an allowed Origin")
        return await node.sessions.account_of_refresh(cookie)
    return await node.sessions.account(_token(request))


def _submit(node: Node, spec: Spec, payload: Payload, principal: Principal) -> Awaitable[Result]:
    room_id = principal.user_id if spec.room == "user" else principal.tenant_id
    room = RoomKey(principal.tenant_id, spec.room, room_id)
    return node.dispatcher.submit(spec, payload, principal, room)


def _from_page(node: Node, request: web.Request) -> bool:
    """Whether a page of an allowed origin calls by script.

    A browser names the origin of every POST itself, and lets no other site's page add a header of its own
    without asking first, so that neither can be had by a form, a link or an image.
    """
    origin = request.headers.get("Origin")
    return bool(
        origin
        and request.headers.get("X-Requested-With")
        and origin_allowed(node.settings, origin, request.headers.get("Host", ""))
    )


def _set_cookie(node: Node, request: web.Request, response: web.StreamResponse) -> None:
    secure = node.settings.public_url.startswith("https:")
    for name, (value, max_age) in request.get(NEW_COOKIES, {}).items():
        response.set_cookie(
            name, value, max_age=max_age, path="/", httponly=True, samesite="Lax", secure=secure
        )
    if NEW_COOKIE in request:
        token = request[NEW_COOKIE]
        response.set_cookie(
            COOKIE,
            token,
            max_age=node.settings.refresh_token_ttl if token else 0,
            path=f"{BASE}/auth",
            httponly=True,
            samesite="Strict",
            secure=secure,
        )


async def _payload(spec: Spec, request: web.Request) -> dict[str, Any]:
    """Body, query string, path and headers, put together as the payload that a socket would send."""
    assert spec.route is not None
    data: dict[str, Any]
    if request.method in ("GET", "HEAD"):
        data = dict(request.query)
    elif spec.form and request.content_type == "application/x-www-form-urlencoded":
        data = await _form(request)
    else:
        data = await _body(request)
    return with_path_and_headers(spec, request, data)


def with_path_and_headers(spec: Spec, request: web.Request, data: dict[str, Any]) -> dict[str, Any]:
    """The same with what path and headers add to it."""
    for name, value in request.match_info.items():
        kind = name.removesuffix("_id")
        if name in spec.payload.model_fields or name == "room":
            data[name] = value
        elif kind in KINDS:
            data["room"] = f"{kind}:{value}"
    if (key := request.headers.get("Idempotency-Key")) is not None:
        data["command_id"] = key
    if (condition := request.headers.get("If-Match")) is not None:
        match = _VERSION.fullmatch(condition.strip())
        if not match:
            raise ValidationFailed.field("If-Match", 'must be a version such as "7"')
        data["expected_version"] = int(match[1])
    if isinstance(data.get("expected_version"), str):
        raise ValidationFailed.field("expected_version", "belongs into the header If-Match")
    return data


async def _form(request: web.Request) -> dict[str, Any]:
    try:
        return dict(await request.post())
    except (*BAD_BODY, ValueError, LookupError):  # also what is no text, or in an encoding that there is not
        raise ValidationFailed(NOT_AS_SAID) from None


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        raw = await request.read()
    except BAD_BODY:
        raise ValidationFailed(NOT_AS_SAID) from None
    if not raw:
        return {}
    try:
        data = orjson.loads(raw)
    except ValueError:
        raise ValidationFailed("The body is not valid JSON") from None
    if not isinstance(data, dict):
        raise ValidationFailed("The body must be a JSON object")
    return data


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Send the header Authorization: Bearer <access token or API key>")
    return token.strip()


def _failure(request: web.Request, error: AtriumError) -> web.Response:
    response = web.Response(
        body=envelope.failure(error, request[REQUEST_ID]),
        status=error.status,
        content_type="application/json",
    )
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return response


def _allow_origin(node: Node, request: web.Request, response: web.StreamResponse) -> None:
    origin = request.headers.get("Origin")
    response.headers["Vary"] = "Origin"
    if origin and origin_allowed(node.settings, origin, request.headers.get("Host", "")):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, DELETE"
        response.headers["Access-Control-Allow-Headers"] = (
            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Range, X-Request-Id, "
            "X-Requested-With"
        )
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
        response.headers["Access-Control-Max-Age"] = "600"
