"""The command line: serve, migrate, demo, doctor, inspect, keys, audit, generate."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import asyncpg
import typer
import uvloop
from pydantic import ValidationError

from server import logs
from storage.child import EmbeddedServerError
from storage.migrations import MigrationError
from storage.settings import Settings

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Atrium, a real-time collaboration server.",
)


keys = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens.")
cli.add_typer(keys, name="keys")


admins = typer.Typer(no_args_is_help=True, help="Who runs the server, and what is on it.")
cli.add_typer(admins, name="admin")


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
    demo: Annotated[
        bool, typer.Option(help="Load the demo world and offer its accounts on the page.")
    ] = False,
) -> None:
    """Start the server. Settings come from the environment; see docs/settings.md."""
    from server import serving

    settings = _settings()
    _run(serving.serve(settings, host, port, workers=workers, with_demo=demo))


@cli.command(hidden=True)
def worker(
    host: Annotated[str, typer.Option()],
    port: Annotated[int, typer.Option()],
    demo: Annotated[bool, typer.Option()] = False,
) -> None:
    """One worker of `serve --workers`: the database is migrated and its address is in the environment."""
    from server.supervisor import follow_supervisor

    follow_supervisor()
    from server import serving

    _run(serving.work(_settings(), host, port, with_demo=demo))


@cli.command()
def migrate() -> None:
    """Bring the database up to date, and say what was done."""
    from server.app import open_database

    async def run() -> None:
        _, _, postgres = await open_database(_settings())
        if postgres is not None:
            await postgres.stop()

    _run(run())
    typer.echo("The database is up to date.")


@cli.command()
def demo(
    scale: Annotated[
        bool, typer.Option("--scale", help="And a tenant of a size to measure with, Scale, of alice.")
    ] = False,
    tasks: Annotated[int, typer.Option(min=6, help="Tasks of that tenant.")] = 1_000_000,
    projects: Annotated[int, typer.Option(min=3, help="Projects of that tenant.")] = 10_000,
) -> None:
    """Load the demo world into the database."""
    from server import demo as world
    from server import scale as large
    from server.serving import opened

    async def run() -> bool:
        async with opened(_settings()) as node:
            return await world.load(node)

    if scale:
        made = _run(large.run(_settings(), large.Size(tasks=tasks, projects=projects)))
        typer.echo("The tenant Scale is there." if made else "The tenant Scale was there already.")
        return
    made = _run(run())
    typer.echo("The demo world is there." if made else "The demo world was there already.")


@cli.command()
def doctor() -> None:
    """Check that the server would start: settings, Postgres, Redis, the web page."""
    from server.doctor import examine

    healthy = True
    for finding in _run(examine(_settings())):
        healthy = healthy and finding.good
        typer.echo(f"{'ok ' if finding.good else 'BAD'} {finding.what}: {finding.says}")
    raise typer.Exit(0 if healthy else 1)


@cli.command("renew-epochs")
def renew_epochs() -> None:
    """Have every client take a snapshot: after a restore, when numbers of events may be given a second time."""

    async def renew(node: Any) -> int:
        async with node.db.transaction(None) as session:
            values = {"witness_tenant": None, "witness_room": None, "seen_epoch": None}
            return int(await session.value("renew_epochs", **values))

    typer.echo(f"{_on_a_node(renew)} rooms have another epoch.")


@keys.command("list")
def list_keys() -> None:
    """Show every key: its name, since when it signs, and whether it still counts."""
    from server.keys import opened

    async def run() -> list[str]:
        async with opened(_settings()) as ring:
            return [
                f"{key.kid}  {key.signs_from:%Y-%m-%d %H:%M:%S}Z  {key.state}" for key in await ring.listed()
            ]

    for line in _run(run()):
        typer.echo(line)


@keys.command("rotate")
def rotate_keys() -> None:
    """Make a new key. It signs as soon as every node has had the time to learn it; nobody is signed out."""
    from handlers.identity.signing_keys import SPREAD
    from server.keys import opened

    async def run() -> str:
        async with opened(_settings()) as ring:
            return await ring.rotate()

    typer.echo(f"{_run(run())} signs in {SPREAD:.0f} seconds.")


@cli.command()
def inspect(
    url: Annotated[
        str, typer.Option(help="Where a node answers; it asks all others.")
    ] = "http://127.0.0.1:8080",
    room: Annotated[str, typer.Option(help="Only this room, such as project:<id>, and who is in it.")] = "",
    event: Annotated[
        int, typer.Option(min=0, help="Say why a connection heard this event of the room, or not.")
    ] = -1,
    connection: Annotated[str, typer.Option(help="Only the connection with this id.")] = "",
    user: Annotated[str, typer.Option(help="Only the connections of the account with this id.")] = "",
    raw: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False,
) -> None:
    """Look into the running nodes: rooms, connections, and why somebody heard an event or did not.

    Needs the instance's secret, as the server has it: the same ATRIUM_SECRET_KEY or ATRIUM_DATA_DIR.
    """
    from server import looking

    question = {
        "room": room,
        "event": str(event) if event >= 0 else "",
        "connection": connection,
        "user": user,
    }
    try:
        answer = looking.ask(_settings(), url, {key: value for key, value in question.items() if value})
    except looking.RefusedError as refusal:
        _give_up(str(refusal))
    typer.echo(looking.as_json(answer) if raw else "\n".join(looking.lines(answer, event)))


@cli.command()
def generate(
    check: Annotated[bool, typer.Option(help="Write nothing; fail when something is not fresh.")] = False,
) -> None:
    """Write everything that is generated: schema, OpenAPI, AsyncAPI, reference pages."""
    from server.generate import stale

    logs.configure("warning")
    outdated = _run(stale(Path.cwd(), write=not check))
    for path in outdated:
        typer.echo(f"{'not fresh' if check else 'written'}: {path}")
    raise typer.Exit(1 if check and outdated else 0)


audit = typer.Typer(no_args_is_help=True, help="The audit log: verify its chains, export a tenant's entries.")
cli.add_typer(audit, name="audit")


@audit.command()
def verify(
    tenant: Annotated[
        str | None, typer.Option(help="Slug of a tenant, or `instance`. Unset: every chain.")
    ] = None,
) -> None:
    """Walk the chains and name the first row that is not as it was. Exit code 1 when there is one."""
    from server.auditing import verify_chains

    raise typer.Exit(0 if _run(verify_chains(_settings(), tenant, typer.echo)) else 1)


@audit.command()
def export(
    tenant: Annotated[str, typer.Option(help="Slug of the tenant, or `instance`.")],
    file: Annotated[Path | None, typer.Option(help="Where to write; unset: to the standard output.")] = None,
) -> None:
    """Write all entries of a tenant as CSV, the newest first. That this was done is an entry too."""
    from server.auditing import export_chain

    count = _run(export_chain(_settings(), tenant, file))
    typer.echo(f"{count} entries", err=True)


@admins.command("grant")
def grant(email: Annotated[str, typer.Argument(help="Address of an account.")]) -> None:
    """Let a person run the server: see and manage every tenant and account."""
    _flag(email, granted=True)


@admins.command("revoke")
def revoke(email: Annotated[str, typer.Argument(help="Address of an account.")]) -> None:
    """Take that away, and end whatever stands on it."""
    _flag(email, granted=False)


@admins.command("list")
def administrators() -> None:
    """Who runs the server."""
    from server import admin

    rows = _on_a_node(admin.administrators)
    typer.echo("\n".join(admin.lines(rows, "email", "name", "status", "last_login_at")))


@admins.command("tenants")
def tenants(search: Annotated[str, typer.Argument(help="Something in name or slug.")] = "") -> None:
    """The first 100 tenants by name."""
    from server import admin

    rows = _on_a_node(lambda node: admin.tenants(node, search))
    if rows is None:
        _give_up("Nobody runs this server yet: python -m server admin grant EMAIL")
    columns = ("slug", "name", "status", "people", "services", "projects", "last_activity_at", "id")
    typer.echo("\n".join(admin.lines(rows, *columns)))


@admins.command("users")
def users(
    prefix: Annotated[str, typer.Argument(help="What the address, or else the name, begins with.")] = "",
) -> None:
    """The first 100 accounts by address."""
    from server import admin

    rows = _on_a_node(lambda node: admin.users(node, prefix))
    columns = ("email", "name", "kind", "status", "platform_admin", "last_login_at", "id")
    typer.echo("\n".join(admin.lines(rows, *columns)))


def _flag(email: str, *, granted: bool) -> None:
    from server import admin

    done = _on_a_node(lambda node: admin.change(node, email, granted=granted))
    if done is None:
        _give_up("Nobody has an account with this address.")
    typer.echo(done)


def _on_a_node(work: Any) -> Any:
    from server.serving import opened

    async def run() -> Any:
        async with opened(_settings()) as node:
            return await work(node)

    return _run(run())


def _settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            typer.echo(f"setting {'.'.join(str(part) for part in item['loc'])}: {item['msg']}", err=True)
        raise typer.Exit(2) from None
    logs.configure(settings.log_level)
    return settings


def _run(main: Any) -> Any:
    from server.app import Refused

    try:
        return uvloop.run(main)
    except (Refused, MigrationError, EmbeddedServerError) as error:
        _give_up(str(error))
    except (asyncpg.PostgresError, OSError) as error:
        _give_up(f"{type(error).__name__}: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None


def _give_up(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.stderr.flush()
    raise typer.Exit(1)


def environment(**more: str) -> dict[str, str]:
    """The environment of a child process."""
    return {**os.environ, **more}
