"""The envelope of every answer, the same over sockets and REST."""

from datetime import UTC, datetime
from typing import Any

import orjson

from handlers.errors import AtriumError
from handlers.groups import Result
from storage.rooms import timestamp


def _end(request_id: str) -> bytes:
    return b',"timestamp":"%b","request_id":"%b"}' % (
        timestamp(datetime.now(UTC)).encode(),
        request_id.encode(),
    )


def success(result: Result, request_id: str) -> bytes:
    return b'{"success":true,"data":%b,"meta":%b%b' % (result.data, dump(result.meta()), _end(request_id))


def failure(error: AtriumError, request_id: str) -> bytes:
    return b'{"success":false,"error":%b%b' % (dump(error.body()), _end(request_id))


def dump(value: Any) -> bytes:
    return orjson.dumps(value, default=str)
