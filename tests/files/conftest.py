"""A world whose files lie in an empty store, of each kind."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.world import World


@pytest.fixture
async def desk(worlds: Callable[..., Any], store: dict[str, Any]) -> World:
    world: World = await worlds(**store)
    return world


@pytest.fixture
async def plain(worlds: Callable[..., Any], tmp_path: Any) -> World:
    """The same with a directory alone, for what has nothing to do with the store."""
    world: World = await worlds(data_dir=tmp_path)
    return world
