"""How much is tried of what has no end: `ATRIUM_TEST_EXAMPLES=200 make test` tries more of it, overnight for example."""

import os
from typing import Final

EXAMPLES: Final = int(os.environ.get("ATRIUM_TEST_EXAMPLES", "12"))
"""Odd payloads for each call, by socket and by REST (count)."""
