"""The ends of columns: where tasks come to lie that go to one, and whether there is room for them.

Read once and filled task by task, so that many are placed as if each had been written before the next one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from handlers.context import Tx
from handlers.errors import Conflict
from handlers.work import positions
from handlers.work.tasks.rules import OverLimit, check_limit
from storage.postgres import Row


@dataclass(slots=True)
class Ends:
    """Columns in the order of their boards, each with its end and how full it is, as far as that is limited."""

    columns: dict[UUID, Row]
    last: dict[UUID, str | None]
    held: dict[UUID, int | None]
    over: dict[UUID, OverLimit] = field(default_factory=dict)
    """Columns that hold more than they should by what was placed."""

    def showing(self, status_id: UUID, *, own: UUID | None = None, board_id: UUID | None = None) -> UUID:
        """The column for a task of a status: its own one if that shows it, else the first that does, of its board before
        others; CONFLICT where none does.
        """
        found = [one for one, row in self.columns.items() if status_id in row["status_ids"]]
        if not found:
            raise Conflict("No column there shows that status", details={"status_id": status_id})
        if own is not None and own in found:
            return own
        return next((one for one in found if self.columns[one]["board_id"] == board_id), found[0])

    def take(self, column_id: UUID, *, counts: bool = True) -> str:
        """The position at the end of a column, for one task more; CONFLICT where there is no room for it.

        One that does not count, as in the trash, needs none.
        """
        if counts:
            held = self.held[column_id]
            if over := check_limit(self.columns[column_id], held):
                self.over[column_id] = over
            self.held[column_id] = None if held is None else held + 1
        position = positions.between(self.last[column_id], None)
        self.last[column_id] = position
        return position

    def copy(self) -> "Ends":
        """The same, to try something out."""
        return Ends(self.columns, dict(self.last), dict(self.held), dict(self.over))


async def ends_of(tx: Tx, columns: Iterable[Row], *, project_id: UUID | None = None) -> Ends:
    """How these columns end, of the room's project unless another one is named."""
    held = {row["id"]: row for row in columns}
    rows: Sequence[Row] = await tx.many(
        "column_ends", column_ids=list(held), project_id=project_id or tx.room.id
    )
    return Ends(
        held, {row["id"]: row["last_position"] for row in rows}, {row["id"]: row["held"] for row in rows}
    )
