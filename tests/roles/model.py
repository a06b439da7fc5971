"""The rights of a tenant once more, as plainly as they can be said, to compare the server with.

It knows people, roles, exceptions, projects, teams, units and delegations as sets and dictionaries, and shares with
the server nothing but the matrix of the seven roles.
"""

from dataclasses import dataclass, field

from handlers.access import MATRIX

ORDER = ("owner", "admin", "manager", "member", "viewer", "client", "guest")
FOR_STAFF = {"tenant.view", "member.export", "audit.view"}
"""Of the permissions that the test hands out, those that are nothing for people from outside."""


@dataclass
class Custom:
    base: str
    plus: set[str]
    minus: set[str]


@dataclass
class Person:
    role: str
    custom: str | None = None
    plus: set[str] = field(default_factory=set)
    minus: set[str] = field(default_factory=set)
    active: bool = True
    expired: bool = False


@dataclass
class Model:
    people: dict[str, Person]
    customs: dict[str, Custom] = field(default_factory=dict)
    parts: dict[tuple[str, str], tuple[str | None, bool]] = field(default_factory=dict)
    """(project, person) -> role there, and whether it has expired."""
    groups: dict[str, set[str]] = field(default_factory=dict)
    above: dict[str, str | None] = field(default_factory=dict)
    shares: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """(project, group) -> role."""
    delegations: dict[tuple[str, str], bool] = field(default_factory=dict)
    """(from, to) -> whether it has begun."""

    def base(self, name: str) -> str:
        person = self.people[name]
        return self.customs[person.custom].base if person.custom else person.role

    def denied(self, name: str) -> set[str]:
        person = self.people[name]
        of_role = self.customs[person.custom].minus if person.custom else set()
        return (of_role - person.plus) | person.minus

    def in_tenant(self, name: str) -> set[str]:
        person = self.people[name]
        of_role = self.customs[person.custom].plus if person.custom else set()
        more = (of_role - person.minus) | person.plus
        if self.base(name) in ("client", "guest"):
            more -= FOR_STAFF
        return (set(MATRIX[self.base(name)]) | more) - self.denied(name)  # type: ignore[index]  # a role

    def reached_by(self, project: str, name: str) -> list[str | None]:
        """The roles of all shares of a project that reach somebody, from her groups upwards."""
        found = []
        for (shared, group), role in self.shares.items():
            if shared == project and any(
                name in people and group in self.upwards(inner) for inner, people in self.groups.items()
            ):
                found.append(role)
        return found

    def upwards(self, group: str | None) -> list[str]:
        line = []
        while group is not None:
            line.append(group)
            group = self.above[group]
        return line

    def alone(self, name: str, project: str | None) -> set[str] | None:
        """What somebody may do by herself, in a project or in the tenant; None where she may not know of it."""
        mine = self.in_tenant(name)
        if project is None:
            return mine
        role, ended = self.parts.get((project, name), (None, True))
        shares = self.reached_by(project, name)
        sees_all = "tenant.view" in mine
        if ended and not shares and not sees_all:
            return None
        if self.base(name) in ("owner", "admin"):
            return mine
        if not ended and role is not None:
            return set(MATRIX[role]) - self.denied(name)  # type: ignore[index]  # a role
        if not ended:
            shares.append(None)
        roles = [each for each in shares if each is not None]
        given = set().union(*(MATRIX[each] for each in roles)) - self.denied(name)  # type: ignore[index]  # roles
        return given | mine if sees_all or None in shares or not roles else given

    def can_act(self, name: str) -> bool:
        return self.people[name].active and not self.people[name].expired

    def rights(self, name: str, project: str | None) -> set[str] | None:
        if not self.can_act(name):
            return None
        found = [self.alone(name, project)]
        if self.base(name) not in ("client", "guest"):
            found += [
                self.alone(other, project)
                for (other, to), begun in self.delegations.items()
                if to == name and begun and self.can_act(other)
            ]
        seen = [each for each in found if each is not None]
        return set().union(*seen) if seen else None
