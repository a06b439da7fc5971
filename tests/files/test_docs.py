"""The examples of docs/files.md are run as they stand there."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from tests.world import World

PAGE = Path(__file__).resolve().parents[2] / "docs/files.md"
PLAN = b"%PDF-1.7\nThe plan"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
async def test_the_examples_work(shared: World, tmp_path: Path) -> None:
    [script] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    calls = [line for line in re.sub(r"\\\n", " ", script).splitlines() if line.startswith("curl")]
    (tmp_path / "plan.pdf").write_bytes(PLAN)
    given = {
        "TOKEN": await shared.token("alice"), "URL": shared.url, "PROJECT": shared.project_id, "KEY": str(uuid4())
    }  # fmt: skip
    said = []
    for call in calls:
        process = await asyncio.create_subprocess_shell(
            call, cwd=tmp_path, env={**os.environ, **given}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, call
        said.append(output)
        if len(said) == 1:
            given["FILE"] = json.loads(output)["data"]["file"]["id"]
    up, form, listed, _, part, renamed, deleted = said
    for output in (up, form, listed, renamed, deleted):
        assert json.loads(output)["success"], output
    assert json.loads(form)["data"]["file"]["name"] == "plan.pdf"
    assert (tmp_path / "copy.pdf").read_bytes() == PLAN
    assert part == PLAN[:4]
    assert json.loads(renamed)["data"]["file"]["name"] == "Plan of the kitchen.pdf"
