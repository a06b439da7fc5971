"""Stock python-socketio on aiohttp and uvloop: echoes a move to the room and stores nothing.

    PORT=9000 MOVE=move.json python server.py

Event and ack have the shape and size of Atrium's (MOVE), with the values that change made anew for every command.
"""

import json
import os
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import socketio
import uvloop
from aiohttp import web

SAMPLE = json.loads(Path(os.environ["MOVE"]).read_text())
numbers = count(1001)
sio = socketio.AsyncServer(async_mode="aiohttp")


async def join(sid: str, payload: dict[str, Any]) -> dict[str, Any]:
    await sio.enter_room(sid, payload["room"])
    return {"success": True, "data": {"room": payload["room"]}}


async def move(sid: str, payload: dict[str, Any]) -> dict[str, Any]:
    event, ack = SAMPLE["event"], SAMPLE["ack"]
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    room, seq = payload["room"], next(numbers)
    ids = {"id": payload["task_id"], "column_id": payload["column_id"], "updated_at": at}
    data = {"task": event["data"]["task"] | ids, "was": event["data"]["was"]}
    own = {"room": room, "seq": seq, "at": at, "command_id": payload["command_id"], "data": data}
    await sio.emit("task.moved", event | own, room=room)
    return dict(ack | {"data": data, "meta": ack["meta"] | {"room": room, "seq": seq}, "timestamp": at})


async def application() -> web.Application:
    app = web.Application()
    sio.on("room.join", join)
    sio.on("task.move", move)
    sio.attach(app)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(application(), host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
