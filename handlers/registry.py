"""The single source of everything callable: sockets, REST, OpenAPI, AsyncAPI and reference pages come from here.

    @command("task.move", needs="task.edit", rest="POST /tasks/{task_id}/move")
    async def move(tx: Tx, cmd: MoveTask) -> TaskMoved: ...

A command changes one room and returns its events. A query reads; an export reads a table of any length as a file. An upload
is a command whose bytes come first, a download a query whose answer is bytes. A signal is broadcast without SQL or log.
An endpoint is REST alone, for what comes before there is a tenant. A control belongs to one connection.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)
from typing_extensions import TypeVar

from handlers.errors import AtriumError
from storage.postgres import Row
from storage.rooms import RoomKey, timestamp

Kind = Literal["command", "query", "export", "upload", "download", "signal", "endpoint", "control"]
Strict = Literal["", "sign_in", "register", "recovery"]
"""The stricter budget, of an address, that an endpoint without a sign-in is charged to beside the common one."""
ROOMS_OWN: Final = "the room's own"
"""The `scope` of a call that asks for the permission which its room takes."""
Handler = Callable[..., Awaitable[Any]]
H = TypeVar("H", bound=Handler)


def no_nul(value: str) -> str:
    """Refuse the one character that Postgres cannot store in text."""
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    return value


_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(value: str) -> str:
    """Refuse control characters and line breaks: a name stands in subjects, headers and plain text."""
    if _BREAKS.search(value):
        raise ValueError("must not contain control characters or line breaks")
    return value


D = TypeVar("D", bound=date)


def in_range(value: D) -> D:
    """A day or moment that every store and calendar can hold."""
    if not 1900 <= value.year <= 2200:
        raise ValueError("must lie between the years 1900 and 2200")
    return value


def _in_utc(value: datetime) -> datetime:
    return in_range(value).astimezone(UTC)


class Secret:
    """Marks a type whose values must never be written down: `Annotated[str, SECRET]`. The audit log hides them."""


SECRET: Final = Secret()

Text = Annotated[str, AfterValidator(no_nul)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(one_line)
]
Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(no_nul)
]
LongText = Annotated[str, StringConstraints(max_length=50_000), AfterValidator(no_nul)]
Version = Annotated[int, Field(ge=1, le=2**63 - 1)]
Seq = Annotated[int, Field(ge=0, le=2**63 - 1)]
Timestamp = Annotated[datetime, PlainSerializer(timestamp, return_type=str, when_used="json")]
"""A moment in a reply or event: UTC with milliseconds."""
When = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment in a payload: with a time zone, between 1900 and 2200."""


LONGEST_CURSOR: Final = 4_096
"""Five texts of a hundred letters that JSON writes at length, and an id, as base64 (characters)."""


class Payload(BaseModel):
    """What a caller sends. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def given(self, name: str) -> Any:
        """The value of a field; None where it has none, or where there is no such field."""
        return self.__dict__.get(name)


class Entity(BaseModel):
    """A thing that snapshots list and events carry, whole or in part; always with its id."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(dict(row))


M = TypeVar("M", bound=BaseModel)


def known(model: type[M], **fields: Any) -> M:
    """A model of values that are known to fit: they were read from the database, or checked before.

    As `model(**fields)`, without the validation, which takes longer than all else that is done with a small event.
    """
    made = model.__new__(model)
    for name, value in (
        ("__dict__", {**_blank(model), **fields}), ("__pydantic_fields_set__", set(fields)),
        ("__pydantic_extra__", None), ("__pydantic_private__", None),
    ):  # fmt: skip
        object.__setattr__(made, name, value)
    return made


@cache
def _blank(model: type[BaseModel]) -> dict[str, Any]:
    """Its fields in their order, which is that of its JSON; what has no default is still to be filled in."""
    return {name: field.default for name, field in model.model_fields.items()}


class Gone(Entity):
    """Something that is no more."""

    id: UUID
    removed: Literal[True]


class Event(BaseModel):
    """A fact of a room. The class is named for the event: `class TaskMoved(Event, name="task.moved")`."""

    name: ClassVar[str]

    def __init_subclass__(cls, name: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = name
        EVENTS[name] = cls

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Takes the class keyword that `__init_subclass__` has used."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """The event about one row: the first field of the event is its entity."""
        return cls.model_validate({next(iter(cls.model_fields)): dict(row)})

    def to(self, room: RoomKey) -> Self:
        """Send it to another room, of a later kind than the command's own."""
        self._say(room=room)
        return self

    @property
    def room(self) -> RoomKey | None:
        private = self.__pydantic_private__
        return private.get("room") if private else None

    def by(self, user_id: UUID, name: str) -> Self:
        """Say who did it, where that is not whoever sent the command."""
        self._say(actor=(user_id, name))
        return self

    @property
    def actor(self) -> tuple[UUID, str] | None:
        private = self.__pydantic_private__
        return private.get("actor") if private else None

    def _say(self, **private: Any) -> None:
        """Note what is no field. Attributes that are declared private are made anew for every event, which nearly never
        has any.
        """
        object.__setattr__(self, "__pydantic_private__", {**(self.__pydantic_private__ or {}), **private})

    def dump(self) -> bytes:
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)


EVENTS: Final[dict[str, type[Event]]] = {}


class Reply(BaseModel):
    """What a query or an endpoint answers."""

    model_config = ConfigDict(from_attributes=True)


class Redirect(Reply):
    """An endpoint's answer to a browser that is to go on somewhere else (302)."""

    location: str


class Download(Reply):
    """A file: the endpoint says of what content type by `produces`."""

    body: bytes
    file: str | None = None
    """Its name for a browser to save it under; None where it is shown."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an upload goes."""

    id: UUID
    key: str
    """Of the blob."""
    most: int
    """How large it may become (bytes)."""
    beyond: AtriumError
    """What an upload is told that becomes larger."""
    repeated: bool = False
    """Whether it was carried out before: then its bytes are not stored, and tell only whether they are the same."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be sent, and what is said of them."""

    key: str
    name: str
    size: int
    content_type: str
    sha256: str


R = TypeVar("R", bound=Reply, default=Reply)


class Pagination(BaseModel):
    limit: int
    next: str | None = Field(None, description="Cursor of the next page; null on the last one.")
    total: int | None = Field(None, description="Count of all, where it is cheap to know.")


@dataclass(slots=True)
class Page(Generic[R]):
    """A query's answer with its place in the whole; `Page[TaskList]` tells the descriptions what it holds."""

    data: R
    pagination: Pagination


E = TypeVar("E", bound=Event, default=Event)
Told = TypeVar("Told", bound=BaseModel, default=BaseModel)


@dataclass(slots=True)
class Outcome(Generic[E, Told]):
    """A command's events, where the reply is not simply the first of them.

    `Outcome[TaskMoved, MoveReply]` tells the descriptions what it holds.
    """

    events: list[E]
    data: Told
    once: Told | None = None
    """The reply with a secret that is shown once: to the caller of the first try, and never written down.
    A repeated command gets `data`."""
    settled: bool = False
    """Whether reactions and rules have followed from the events already, and are among them."""


class Paging(Payload):
    """Fields of a payload that asks for a list."""

    limit: int = Field(50, ge=1, le=100, description="Entries per page.")
    cursor: Annotated[str, StringConstraints(max_length=LONGEST_CURSOR), AfterValidator(no_nul)] | None = (
        Field(None, description="`meta.pagination.next` of the page before.")
    )


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str

    @property
    def params(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))


@dataclass(frozen=True, slots=True)
class Spec:
    """One callable thing."""

    kind: Kind
    name: str
    payload: type[Payload]
    returns: Any
    handler: Handler
    doc: str
    room: str = ""
    needs: str | None = None
    route: Route | None = None
    versioned: bool = False
    within: str | None = None
    public: bool = False
    bound: bool = False
    """Whether a session that a tenant's own provider has opened may use an endpoint."""
    form: bool = False
    """Whether the body may also be a form, as other servers send it."""
    status: int = 200
    limit: Strict = ""
    scope: str | None = None
    """For a call that needs no permission, or a command that needs no more than to look: what the scopes of an API key must
    hold. None: not for keys."""
    platform: bool = False
    """Whether an endpoint is for those who run the server."""
    file: str = ""
    """Name of the file that an export makes, without its date and ending."""
    produces: str = "application/json"
    """Content type of the answer."""
    alone: bool = False
    """Whether a command has a transaction for itself: it reads the room's log, which others of a group are not in yet."""
    archived: bool = False
    """Whether a command may be carried out in an archived project, which is read-only."""
    trashed: bool = False
    """Whether the project of `within` may be in the trash."""
    begin: Handler | None = None
    """What is done before an upload takes any bytes."""

    @property
    def changes(self) -> bool:
        """Whether an endpoint may change something: by its method, or because a browser is sent on from it."""
        reads = self.route is not None and self.route.method == "GET" and Redirect not in _flat(self.returns)
        return self.kind == "endpoint" and not reads

    @property
    def events(self) -> tuple[type[Event], ...]:
        """The events that this command may cause, from its return type."""
        return tuple(
            part for part in _flat(self.returns) if isinstance(part, type) and issubclass(part, Event)
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """A statement that opens a room and reads what some commands need there; see `opening`."""

    statement: str
    params: Callable[[Sequence[Any]], dict[str, Any]]
    """Payloads of the commands -> parameters of the statement."""


SPECS: Final[dict[str, Spec]] = {}
INTERNAL: Final[dict[str, Spec]] = {}
"""Name -> command that no client can send: the server itself does, at an alarm."""
LOCATORS: Final[dict[str, str]] = {}
"""Field of a payload -> statement that finds the project it belongs to."""
TOGETHER: Final[dict[str, Handler]] = {}
"""Name of a command -> handler of several at once."""
OPENINGS: Final[dict[str, Opening]] = {}
"""Name of a command -> what is read for it with the opening of its room."""
REACTIONS: Final[dict[type[Event], list[Handler]]] = {}
RULES: Final[list[Handler]] = []
"""What is asked after the reactions, in rooms that have rules; see `rules`."""
SNAPSHOTS: Final[dict[str, Handler]] = {}
"""Kind of room -> function that reads its state."""


def command(
    name: str,
    *,
    needs: str | None,
    rest: str,
    room: str = "project",
    within: str | None = None,
    versioned: bool = False,
    status: int = 200,
    scope: str | None = None,
    archived: bool = False,
    trashed: bool = False,
    alone: bool = False,
) -> Callable[[H], H]:
    """Register a command: `handler(tx, payload)` returns its event, its events, or an Outcome.

    `within` names the field with the project whose rights count, where the command's room is the
    tenant's; those of the tenant do where it is None. With
    `archived` it may be carried out in an archived project too, with `trashed` in one in the trash. One that
    reads the room's log runs `alone`, not in a group.
    """
    return _register(
        "command", name, room=room, needs=needs, rest=rest, within=within, versioned=versioned, status=status,
        scope=scope, archived=archived, trashed=trashed, alone=alone,
    )  # fmt: skip


def internal(name: str, *, room: str = "project") -> Callable[[H], H]:
    """Register a command that only the server sends, by an alarm (`handlers.alarms`): `handler(tx, payload)`.

    `tx.actor` is whoever set the alarm, with the rights of an owner in the room.
    """
    return _register("command", name, room=room, needs=None, rest=None, into=INTERNAL)


def query(
    name: str, *, needs: str | None, rest: str, room: str = "project", scope: str | None = None
) -> Callable[[H], H]:
    """Register a query: `handler(tx, payload)` returns a Reply or a Page and may not write."""
    return _register("query", name, room=room, needs=needs, rest=rest, scope=scope)


def export(name: str, *, needs: str, rest: str, file: str, room: str = "tenant") -> Callable[[H], H]:
    """Register a file over REST: `handler(tx, payload)` returns a `handlers.sheets.Sheet`, page after page.

    Answers text/csv as a download, and leaves an entry in the audit log.
    """
    return _register(
        "export", name, room=room, needs=needs, rest=rest, file=file, produces="text/csv; charset=utf-8"
    )


def upload(name: str, *, begin: Handler, needs: str, rest: str) -> Callable[[H], H]:
    """Register an upload over REST. `begin(tx, payload, length)` is asked before any byte is read, and returns a `Slot`;
    `handler(tx, kept)` is the command that follows when the bytes are stored: its payload has what they are besides.
    """
    return _register("upload", name, room="project", needs=needs, rest=rest, status=201, begin=begin)


def download(name: str, *, needs: str, rest: str) -> Callable[[H], H]:
    """Register bytes over REST: `handler(tx, payload)` returns a `Content` that says where and what they are."""
    return _register(
        "download", name, room="project", needs=needs, rest=rest, produces="application/octet-stream"
    )


def signal(name: str, *, needs: str, room: str = "") -> Callable[[H], H]:
    """Register a signal: `handler(hub, connection, payload)`; it is not logged and may be lost."""
    return _register("signal", name, room=room, needs=needs, rest=None)


def endpoint(
    name: str, *, rest: str, public: bool = False, bound: bool = False, form: bool = False, status: int = 200,
    limit: Strict = "", platform: bool = False,
    produces: str = "application/json",
) -> Callable[[H], H]:  # fmt: skip
    """Register REST that stands outside of rooms: `handler(edge, payload)` returns a Reply or a Page.

    One that answers anything but JSON names the content type in `produces` and returns a Download.

    It is about the account, which belongs to no tenant. So a session that the provider of a tenant has opened may use
    it only where `bound` says that this cannot reach beyond that tenant. What can be guessed at takes a `limit`. With
    `platform` it is for those alone who run the server: asked of the database with every call.
    """
    return _register(
        "endpoint", name, room="", needs=None, rest=rest, public=public, bound=bound, form=form, status=status,
        limit=limit, platform=platform, produces=produces,
    )  # fmt: skip


def control(name: str) -> Callable[[H], H]:
    """Register a call about the connection itself: `handler(connection, payload)`."""
    return _register("control", name, room="", needs=None, rest=None)


def _register(
    kind: Kind, name: str, *, room: str, needs: str | None, rest: str | None,
    within: str | None = None, versioned: bool = False, public: bool = False, bound: bool = False,
    form: bool = False, status: int = 200, limit: Strict = "", scope: str | None = None,
    file: str = "", produces: str = "application/json", platform: bool = False, archived: bool = False,
    trashed: bool = False, into: dict[str, Spec] | None = None, alone: bool = False, begin: Handler | None = None,
) -> Callable[[H], H]:  # fmt: skip
    specs = SPECS if into is None else into

    def add(handler: H) -> H:
        hints = get_type_hints(handler, include_extras=True)
        returns = hints.pop("return", None)
        taken = get_type_hints(begin, include_extras=True) if begin else hints
        payload = list(taken.values())[1 if begin else -1]
        if not (isinstance(payload, type) and issubclass(payload, Payload)):
            raise TypeError(f"{name}: the last parameter must be a Payload")
        if name in SPECS or name in INTERNAL:
            raise ValueError(f"{name} is registered twice")
        route = Route(*rest.split(" ", 1)) if rest else None
        specs[name] = Spec(
            kind=kind, name=name, payload=payload, returns=returns, handler=handler, doc=handler.__doc__ or "",
            room=room, needs=needs, route=route, within=within, versioned=versioned, public=public, bound=bound, form=form,
            status=status, limit=limit, scope=scope, file=file, produces=produces, platform=platform,
            archived=archived, trashed=trashed, alone=alone, begin=begin,
        )  # fmt: skip
        return handler

    return add


P = TypeVar("P", bound=Callable[[Sequence[Any]], dict[str, Any]])


def opening(name: str, statement: str) -> Callable[[P], P]:
    """Have a statement read what commands of this name need, in one round trip with the opening of their room.

    The statement takes in `open_room`; its own rows say in a column `n`, from 1, which command each is for. The function
    gives its parameters for the payloads of some commands. What was read for a command is in `tx.ahead`, if nothing
    has been written before it in its transaction.
    """

    def add(params: P) -> P:
        OPENINGS[name] = Opening(statement, params)
        return params

    return add


def together(name: str) -> Callable[[H], H]:
    """Carry out several commands of this name that follow each other in a group: `handler([(tx, payload), …])`.

    It returns what the command's own handler would have returned for each, had they come one by one, or the error
    that it would have raised. An error must have written nothing; what is raised instead has the group tried again,
    one by one.
    """

    def add(handler: H) -> H:
        TOGETHER[name] = handler
        return handler

    return add


def reaction(event: type[Event]) -> Callable[[H], H]:
    """Run `handler(tx, event)` in the transaction of every such event; it returns more events, one level deep."""

    def add(handler: H) -> H:
        REACTIONS.setdefault(event, []).append(handler)
        return handler

    return add


def rules(handler: H) -> H:
    """Run `handler(tx, events, triggers)` after a command and its reactions, in rooms whose row has `triggers`.

    It returns the events that follow, with all that follows from them; it must not raise what is the rules' own fault.
    """
    RULES.append(handler)
    return handler


def snapshot(kind: str) -> Callable[[H], H]:
    """Register how a room's state is read: `handler(tx, window)` returns a Reply of entity lists."""

    def add(handler: H) -> H:
        SNAPSHOTS[kind] = handler
        return handler

    return add


def locator(field_name: str, statement: str) -> None:
    """Say which statement finds the project behind an id in a payload."""
    LOCATORS[field_name] = statement


@cache
def locating(payload: type[Payload]) -> Mapping[str, str]:
    """The fields of a payload whose ids say which project it belongs to, and the statements that find that: what it has
    to have comes first, then what it is given first. So `view_id` says where a view is, not the board that it is to show.
    """
    fields = [name for name in payload.model_fields if name in LOCATORS]
    return {
        name: LOCATORS[name]
        for name in sorted(fields, key=lambda it: not payload.model_fields[it].is_required())
    }


def _flat(annotation: Any) -> list[Any]:
    return (
        [annotation]
        if get_origin(annotation) is None
        else [p for a in get_args(annotation) for p in _flat(a)]
    )


def unique(values: list[UUID]) -> list[UUID]:
    """Ids in their order, each once."""
    return list(dict.fromkeys(values))


Ids = Annotated[list[UUID], Field(max_length=100), AfterValidator(unique)]


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


QueryIds = Annotated[list[UUID], BeforeValidator(_split), Field(max_length=100), AfterValidator(unique)]
"""Ids in a query, where REST has them comma-separated."""
