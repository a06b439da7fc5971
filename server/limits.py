"""Who may call how often: each call is charged to somebody before it is looked at, and refused when it is too much.

A call pays from the narrow budget first (an address, a person) and from the wide ones (tenant, instance) only when that
had room: nobody uses up what belongs to others by being refused. What is refused later, for whatever reason, has been
paid for; so has a repeated command.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final
from uuid import UUID

import structlog

from handlers.context import Principal
from handlers.errors import RateLimited
from handlers.registry import SPECS, Spec
from server import metrics
from storage.rates import Budgets, Pair, Rule, Window, parse_overrides, parse_rates
from storage.settings import Settings
from storage.shared_rates import SharedBudgets

log = structlog.get_logger(__name__)

SIGNALS: Final = "signal"
OTHER: Final = "control"
"""The kind of call by socket that calls of an unknown name are counted as."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What one REST call is charged to: whoever calls, then what everybody shares."""

    own: tuple[Pair, ...]
    common: tuple[Pair, ...]


class Limits:
    """The budgets of this node. By REST they are exact among all nodes, by socket nearly so."""

    def __init__(self, settings: Settings, shared: SharedBudgets) -> None:
        def exact(name: str, text: str) -> Rule:
            return Rule(name, parse_rates(text), exact=True)

        def fast(name: str, text: str) -> Rule:
            return Rule(f"socket-{name}", parse_rates(text))

        self.on = settings.rate_limits
        self.shared = shared
        self._budgets: Budgets = shared.budgets
        self._user = exact("user", settings.limit_user)
        self._tenant = exact("tenant", settings.limit_tenant)
        self._instance = exact("instance", settings.limit_instance)
        self._address = exact("address", settings.limit_address)
        self._strict = {
            "sign_in": exact("sign-in", settings.limit_sign_in),
            "register": exact("register", settings.limit_register),
            "recovery": exact("recovery", settings.limit_recovery),
        }
        self._connections = fast("connections", settings.limit_connections)
        self._socket_tenant = fast("tenant", settings.limit_socket_tenant)
        self._socket_instance = fast("instance", settings.limit_socket_instance)
        of_kind = {
            "command": fast("commands", settings.limit_socket_commands),
            "query": fast("queries", settings.limit_socket_queries),
            "control": fast("controls", settings.limit_socket_controls),
            "signal": fast("signals", settings.limit_socket_signals),
        }
        overrides = parse_overrides(settings.limit_commands)
        self._calls = {name: Rule(name, rates, exact=True) for name, rates in overrides.items()}
        self._by_socket = {spec.name: of_kind[spec.kind] for spec in SPECS.values() if spec.kind in of_kind}
        self._by_socket |= {
            name: Rule(f"socket-{name}", rates)
            for name, rates in overrides.items()
            if name in self._by_socket
        }
        self._other = of_kind[OTHER]
        self._signals = {spec.name for spec in SPECS.values() if spec.kind == SIGNALS}

    # By REST.

    def person(self, spec: Spec, user_id: UUID, tenant_id: UUID | None) -> Bill:
        """The bill of a call with a sign-in."""
        special = self._calls.get(spec.name) or self._strict.get(spec.limit)
        own = ((self._user, user_id), (special, user_id)) if special else ((self._user, user_id),)
        common: tuple[Pair, ...] = ((self._instance, ""),)
        return Bill(own, ((self._tenant, tenant_id), *common) if tenant_id else common)

    def stranger(self, spec: Spec, address: str) -> Bill:
        """The bill of a call without a sign-in, or with a bad one."""
        special = self._calls.get(spec.name) or self._strict.get(spec.limit) if spec.public else None
        subject = _subject(address)
        own = ((self._address, subject), (special, subject)) if special else ((self._address, subject),)
        return Bill(own, ((self._instance, ""),))

    async def charge(self, bill: Bill) -> None:
        """RATE_LIMITED where one of the budgets is used up."""
        if self.on:
            for pairs in (bill.own, bill.common):
                if (full := await self.shared.take(*pairs)) is not None:
                    raise self._refusal(full)

    def headers(self, bill: Bill) -> dict[str, str]:
        """What an answer says of the caller's own budgets: the widespread fields about the one with the least room,
        and all of them in those of draft-ietf-httpapi-ratelimit-headers-10. Times are seconds from now.
        """
        now = self._budgets.clock()
        windows = [window for rule, subject in bill.own for window in self._budgets.of(rule, subject)]
        if not self.on or not windows:
            return {}
        least = min(windows, key=lambda window: (window.left(now), -window.resets_in(now)))
        return {
            "X-RateLimit-Limit": str(least.amount),
            "X-RateLimit-Remaining": str(least.left(now)),
            "X-RateLimit-Reset": str(math.ceil(least.resets_in(now))),
            "RateLimit-Policy": ", ".join(
                f'"{window.name}";q={window.amount};w={window.span}' for window in windows
            ),
            "RateLimit": ", ".join(
                f'"{window.name}";r={window.left(now)};t={math.ceil(window.resets_in(now))}'
                for window in windows
            ),
        }

    # By socket: in memory alone, for a signal has 50 µs.

    def connection(self, address: str) -> None:
        """RATE_LIMITED where an address begins too many connections."""
        if self.on and (full := self._budgets.take((self._connections, _subject(address)))) is not None:
            raise self._refusal(full)

    def call(self, name: object, principal: Principal) -> None:
        """RATE_LIMITED where a person, her tenant or everybody has called too often."""
        if not self.on:
            return
        known = name if isinstance(name, str) else ""
        rule = self._by_socket.get(known, self._other)
        full = self._budgets.take((rule, principal.user_id))
        if full is None and known not in self._signals:
            full = self._budgets.take((self._socket_tenant, principal.tenant_id), (self._socket_instance, ""))
        if full is not None:
            raise self._refusal(full)

    def _refusal(self, full: Window) -> RateLimited:
        metrics.LIMITED.labels(full.name).inc()
        now = self._budgets.clock()
        if now >= full.tell_at:  # once in a span, or a flood would be one of log lines too
            full.tell_at = now + max(full.span, 1)
            log.info("limits.reached", budget=full.name, of=full.key)
        wait = math.ceil(full.free_in(now) * 1000) / 1000
        return RateLimited(
            "Too many calls: wait before the next one",
            details={"budget": full.name, "limit": full.amount, "seconds": full.span},
            retry_after=wait,
        )


def unknown_name(settings: Settings) -> str | None:
    """The first name in ATRIUM_LIMIT_COMMANDS that nothing has."""
    return next((name for name in parse_overrides(settings.limit_commands) if name not in SPECS), None)


@lru_cache(maxsize=4096)
def _subject(address: str) -> Hashable:
    """Who an address stands for: a customer of IPv6 has a whole /64 to call from."""
    try:
        if ip_address(address).version == 6:
            return str(ip_network((address, 64), strict=False))
    except ValueError:
        return address
    return address
