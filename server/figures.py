"""The figures of this process, or of all workers behind its port: whichever is asked answers for all of them."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from server.metrics import REGISTRY

log = structlog.get_logger(__name__)

PATIENCE: Final = 2.0
"""How long the other workers may take to tell theirs (seconds)."""


class Figures:
    """What /metrics shows. Workers tell each other theirs through Unix sockets in a directory of their own."""

    def __init__(self, look: Callable[[], None]) -> None:
        """`look` reads the figures that are read only when somebody asks."""
        self._look = look
        self._path: Path | None = None
        self._door: asyncio.Server | None = None

    async def open(self, directory: Path, number: int) -> None:
        """Tell this worker's figures to the others, and show theirs beside them."""
        self._path = directory / f"figures-{number}.sock"
        self._path.unlink(missing_ok=True)
        self._door = await asyncio.start_unix_server(self._tell, self._path)

    async def close(self) -> None:
        if self._door is not None and self._path is not None:
            self._door.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    async def text(self) -> bytes:
        """In the format of Prometheus; of several workers with a label `worker`, which of them each figure is of."""
        own = self._own()
        if self._path is None:
            return own
        others = [path for path in sorted(self._path.parent.glob("figures-*.sock")) if path != self._path]
        told = dict(zip(map(_number, others), await asyncio.gather(*map(_ask, others)), strict=True))
        together = CollectorRegistry(auto_describe=False)
        together.register(_Together({_number(self._path): _parsed(own), **told}))
        return generate_latest(together)

    def _own(self) -> bytes:
        self._look()
        return generate_latest(REGISTRY)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(self._own())
            await writer.drain()
        writer.close()


async def _ask(path: Path) -> list[Metric]:
    """Another worker's figures; nothing of one that is just dying or being started."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return _parsed(await reader.read())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:  # ValueError: it went in the midst of a line
        log.info("figures.not_told", worker=_number(path), error=repr(error))
        return []


def _parsed(text: bytes) -> list[Metric]:
    return list(text_string_to_metric_families(text.decode()))


def _number(path: Path) -> str:
    return path.stem.removeprefix("figures-")


class _Together(Collector):
    """One family of each name, with the samples of all workers."""

    def __init__(self, told: dict[str, list[Metric]]) -> None:
        self._told = told

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for worker, family in ((worker, family) for worker, told in self._told.items() for family in told):
            together = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            together.samples += [
                sample._replace(labels={**sample.labels, "worker": worker}) for sample in family.samples
            ]
        return families.values()
