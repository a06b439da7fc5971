"""Logs: one JSON object a line, with request_id, tenant and user where there are any."""

import logging
import re
import sys
from typing import Any, Final

import orjson
import structlog

from handlers.errors import AtriumError

SLOW_CALL: Final = 0.5
"""A call that takes longer is logged as slow (seconds)."""

_KEY: Final = re.compile(r"(atr_[pt]k_[0-9A-Za-z]{1,22})_[0-9A-Za-z]+")
_TOKEN: Final = re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?")
"""A JWT: our access tokens, and what other issuers send us."""

log = structlog.get_logger(__name__)


def refused(error: AtriumError, **where: Any) -> None:
    """Log an answer that is an error; a fault of the server with its cause, under the request id the client has."""
    if error.code == "INTERNAL":
        log.error("call.failed", exc_info=error.__cause__, **where)
    elif error.code == "RATE_LIMITED":
        log.debug("call.refused", code=error.code, **where)  # a flood of calls is not to be one of lines
    else:
        log.info("call.refused", code=error.code, **where)


def slow(name: str, seconds: float, request_id: str) -> None:
    log.warning("call.slow", name=name, seconds=round(seconds, 3), request_id=request_id)


def configure(level: str) -> None:
    """Send structlog and the standard library's logging to stderr as JSON."""
    threshold = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=line)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))


def line(event: object, **_: object) -> str:
    """An event as a line of the log, with nothing in it that opens an account."""
    return redact(orjson.dumps(event, default=str).decode())


def redact(text: str) -> str:
    """Take what opens an account out of a line, wherever it came from: an API key keeps its prefix, which is public."""
    return _TOKEN.sub("***", _KEY.sub(r"\1***", text))
