"""`python -m server inspect`: asks a running node, and shows what all of them say."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Final

from server.app import instance_secret
from server.inspection import proof
from storage.settings import Settings

PATIENCE: Final = 10
"""How long an answer is waited for (seconds)."""

SENTENCES: Final = {
    "live": "it was sent live",
    "snapshot": "the state that its join was answered with holds it",
    "missed_events": "it was in the list of missed events of its join",
    "known": "the client said at its join that it had it",
    "behind": "its node has not delivered it yet: it does not exist, or is being read from the log",
    "resync": "the client did not read fast enough and was told to join again before it",
    "not_there": "the connection was out of the room then",
    "never_joined": "the connection has not been in the room",
    "forgotten": "that is longer ago than the connection's steps are kept",
}
"""What each reason means."""


class RefusedError(Exception):
    """The server does not answer, or not us; the message says why."""


def ask(settings: Settings, url: str, question: Mapping[str, str]) -> Any:
    """The reports of all nodes."""
    target = f"{url.rstrip('/')}/inspect?{urllib.parse.urlencode(question)}"
    if not target.startswith(("http://", "https://")):
        raise RefusedError(f"not an address: {url}")
    headers = {"Authorization": f"Atrium-Proof {proof(instance_secret(settings))}"}
    request = urllib.request.Request(target, headers=headers)  # noqa: S310  # checked above
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310  # checked above
            return json.load(reply)
    except urllib.error.HTTPError as refusal:
        if refusal.code == 403:
            raise RefusedError(
                "The server has another secret: give the same ATRIUM_SECRET_KEY or ATRIUM_DATA_DIR as to the server."
            ) from None
        raise RefusedError(f"{url} answered {refusal.code}") from None
    except OSError as error:
        raise RefusedError(f"{url} does not answer: {error}") from None


def as_json(answer: Any) -> str:
    return json.dumps(answer, indent=2)


def lines(answer: Any, event: int) -> Iterator[str]:
    """The reports as text: nodes, and below each its rooms and connections."""
    for node in answer["nodes"]:
        health = "draining" if node["draining"] else "bus ok" if node["bus_healthy"] else "bus silent"
        yield (
            f"node {node['node']}  {node['connections']} connections  {node['rooms']} rooms  "
            f"{node['unsent_bytes']} bytes unsent  {node['queued_commands']} commands queued  {health}"
        )
        for room in node["room_list"]:
            behind = f" of {room['target']}" if room["target"] > room["position"] else ""
            joining = f" + {room['joining']} joining" if room["joining"] else ""
            yield f"  {room['room']}  at {room['position']}{behind}  {room['members']}{joining} members"
        for one in node["connection_list"]:
            yield from _connection(one, event)


def _connection(one: Any, event: int) -> Iterator[str]:
    state = (
        f"ended {one['ended_at']} ({one['ended']})"
        if one["ended_at"]
        else f"{one['unsent_bytes']} bytes unsent"
    )
    yield f"  {one['sid']}  user {one['user_id']}  {one['transport'] or 'gone'}/{one['format']}  since {one['began_at']}  {state}"
    for step in one["steps"]:
        yield f"    {step['at']}  {step['room']}  {step['what']}  {step['after']}..{step['upto']}"
    if one["reason"] is not None:
        heard = {True: "heard", False: "did not hear", None: "has not yet heard"}[one["heard"]]
        yield f"    {heard} event {event}: {SENTENCES[one['reason']]}"
