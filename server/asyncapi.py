"""AsyncAPI 3.0 from the registry."""

from typing import Any


def asyncapi() -> dict[str, Any]:
    return {"asyncapi": "3.0.0", "info": {"title": "Atrium", "version": "0.1.0"}}
