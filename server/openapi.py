"""OpenAPI 3.1 from the registry."""

from typing import Any


def openapi() -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "Atrium", "version": "0.1.0"}, "paths": {}}
