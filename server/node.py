"""A running node: the parts that doors, commands and tests reach for."""

from dataclasses import dataclass, field
from pathlib import Path

from handlers.dispatch import Dispatcher
from handlers.identity.oidc.client import OidcClient
from handlers.identity.passwords import Passwords
from handlers.identity.sessions import Sessions
from handlers.identity.tokens import Tokens
from handlers.identity.vault import Vault
from server.alarm_clock import AlarmClock
from server.figures import Figures
from server.gateway import Gateway
from server.hub import Hub
from server.importer import Importer
from server.inspection import Inspector
from server.keys import KeyWatch
from server.lag import LagWatch
from server.limits import Limits
from server.maintenance import Maintenance
from server.outbox import Outbox
from server.reckoner import Reckoner
from server.refusals import Refusals
from server.sealing import Sealer
from storage.blobs import Blobs
from storage.bus import Bus
from storage.outbound import Outbound
from storage.postgres import Database
from storage.settings import Settings


@dataclass(slots=True)
class Node:
    """What `server.app.open_node` wires together."""

    settings: Settings
    db: Database
    bus: Bus
    hub: Hub
    dispatcher: Dispatcher
    gateway: Gateway
    sessions: Sessions
    tokens: Tokens
    passwords: Passwords
    maintenance: Maintenance
    outbox: Outbox
    importer: Importer
    alarms: AlarmClock
    reckoner: Reckoner
    outbound: Outbound
    oidc: OidcClient
    vault: Vault
    limits: Limits
    refusals: Refusals
    keys: KeyWatch
    sealer: Sealer
    inspector: Inspector
    lag: LagWatch
    blobs: Blobs
    figures: Figures = field(init=False)
    ready: bool = False
    demo_offered: bool = False

    @property
    def web_dir(self) -> Path:
        """Where the built page lies: as set, or beside the code."""
        path = self.settings.web_dir
        return path if path.is_absolute() else Path(__file__).parent.parent / path
