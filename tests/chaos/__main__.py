"""`python -m tests.chaos`: random faults, one after another, with a fresh seed each, for as long as asked.

Each run prints its seed and its verdict. The first failure ends everything with status 1 and says how to have it again.
"""

import argparse
import asyncio
import importlib
import logging
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import structlog

from tests.chaos.cluster import chaos_cluster
from tests.chaos.simulator import HAZARDS, ordeal

HERE = Path(__file__).parent


def enter_faults() -> None:
    """Import every test module beside this one: what it registers may happen."""
    for module in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.chaos.{module.stem}")


async def run(seconds: float, seed: int | None, only: str | None) -> int:
    """Returns the exit status."""
    master = random.SystemRandom().getrandbits(32) if seed is None else seed
    choice = random.Random(master)
    names = sorted(HAZARDS) if only is None else [only]
    done: Counter[str] = Counter()
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="atrium-chaos-", ignore_cleanup_errors=True) as directory:
        async with chaos_cluster(Path(directory), redis=True, relays=True) as cluster:
            while not done or time.monotonic() < until:
                name = choice.choice(names)
                this = master if only is not None and not done else choice.getrandbits(32)
                began = time.monotonic()
                try:
                    await ordeal(cluster, name, this)
                except Exception:
                    traceback.print_exc()
                    print(f"FAILED  {name}, seed {this}, after {sum(done.values())} runs that passed")
                    print(f'again:  make chaos SECONDS=1 SEED={this} FAULT="{name}"')
                    print(f"the nodes' last words:\n{cluster.output()[-4000:]}")
                    return 1
                done[name] += 1
                print(f"passed  {name}, seed {this}, {time.monotonic() - began:.1f} s", flush=True)
    print(f"\nseed {master}: {sum(done.values())} runs passed")
    for name, count in sorted(done.items()):
        print(f"{count:5}  {name}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long to go on (seconds)")
    parser.add_argument("--seed", type=int, help="of the choice of faults, or with --fault of its first run")
    parser.add_argument("--fault", help="this one alone")
    parser.add_argument("--list", action="store_true", help="name all faults")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    enter_faults()
    if options.list:
        print("\n".join(sorted(HAZARDS)))
        return 0
    if options.fault is not None and options.fault not in HAZARDS:
        parser.error(f"no fault is called {options.fault!r}; see --list")
    return asyncio.run(run(options.seconds, options.seed, options.fault))


if __name__ == "__main__":
    sys.exit(main())
