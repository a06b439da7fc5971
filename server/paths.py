"""Where the endpoints of the designs that Atrium grew from are to be found here; docs/reference/paths.md.

Kept by hand, for what this version covers; a test checks that our side exists.
"""

from typing import Final, NamedTuple


class Mapped(NamedTuple):
    """An endpoint of a design, and the call that does the same here."""

    area: str
    design: str
    theirs: str
    ours: str
    """Name of a call, or a path that stands outside of the registry."""
    hint: str = ""


BRANDS: Final = "Multi-brand project management"
KANBAN: Final = "Kanban, sprints and chat"
ADMIN: Final = "Tenant administration portal"
TEAM: Final = "Team chat and projects"
DESIGNS: Final = (BRANDS, KANBAN, ADMIN, TEAM)
"""A fifth design, the multi-tenant project management API, names no paths."""

OUTSIDE: Final = ("/health", "/health/ready", "/socket.io/")

MAPPED: Final = (
    Mapped("Sign-in", BRANDS, "POST /auth/login", "auth.login"),
    Mapped("Sign-in", BRANDS, "POST /auth/logout", "auth.logout"),
    Mapped("Sign-in", BRANDS, "POST /auth/refresh", "auth.refresh"),
    Mapped("Sign-in", KANBAN, "POST /api/auth/register", "auth.register"),
    Mapped("Sign-in", KANBAN, "POST /api/auth/login", "auth.login"),
    Mapped("Sign-in", KANBAN, "POST /api/auth/token/refresh", "auth.refresh"),
    Mapped("Sign-in", KANBAN, "GET /api/auth/me", "auth.me"),
    Mapped("Sign-in", ADMIN, "POST /api/auth/login", "auth.login"),
    Mapped("Sign-in", ADMIN, "POST /api/auth/logout", "auth.logout"),
    Mapped("Sign-in", ADMIN, "POST /api/auth/refresh", "auth.refresh"),
    Mapped("Sign-in", TEAM, "POST /api/auth/register", "auth.register"),
    Mapped("Sign-in", TEAM, "POST /api/auth/login", "auth.login"),
    Mapped("Sign-in", TEAM, "POST /api/auth/refresh", "auth.refresh"),
    Mapped("Sign-in", TEAM, "POST /api/auth/logout", "auth.logout"),
    Mapped("Sign-in", TEAM, "GET /api/users/me", "auth.me"),
    Mapped("Tenants", BRANDS, "GET /brands", "auth.me", "`memberships`: the tenants one may switch to"),
    Mapped("Tenants", BRANDS, "GET /brands/:id", "tenant.get"),
    Mapped("Tenants", BRANDS, "POST /brands", "tenant.create"),
    Mapped("Tenants", BRANDS, "PUT /brands/:id", "tenant.update"),
    Mapped("Tenants", BRANDS, "POST /brands/:id/switch", "tenant.switch"),
    Mapped(
        "Tenants",
        BRANDS,
        "GET /brands/:brandId/users",
        "room.snapshot",
        "`members` of the room `tenant:<id>`",
    ),
    Mapped("Tenants", BRANDS, "POST /brands/:brandId/users", "member.add"),
    Mapped("Tenants", BRANDS, "PUT /brands/:brandId/users/:userId", "member.update"),
    Mapped("Tenants", BRANDS, "DELETE /brands/:brandId/users/:userId", "member.remove"),
    Mapped("Tenants", ADMIN, "GET /api/tenants", "auth.me", "`memberships`: the tenants one may switch to"),
    Mapped("Tenants", ADMIN, "GET /api/tenants/:id", "tenant.get"),
    Mapped("Tenants", ADMIN, "POST /api/tenants", "tenant.create"),
    Mapped("Tenants", ADMIN, "PUT /api/tenants/:id", "tenant.update"),
    Mapped(
        "Tenants", ADMIN, "GET /api/tenants/:id/users", "room.snapshot", "`members` of the room `tenant:<id>`"
    ),
    Mapped("Projects", BRANDS, "GET /brands/:brandId/projects", "project.list"),
    Mapped("Projects", BRANDS, "GET /brands/:brandId/projects/:id", "project.get"),
    Mapped("Projects", BRANDS, "POST /brands/:brandId/projects", "project.create"),
    Mapped("Projects", BRANDS, "PUT /brands/:brandId/projects/:id", "project.update"),
    Mapped("Projects", BRANDS, "DELETE /brands/:brandId/projects/:id", "project.delete"),
    Mapped("Projects", BRANDS, "POST /brands/:brandId/projects/:id/restore", "project.restore"),
    Mapped("Projects", KANBAN, "GET /api/projects", "project.list"),
    Mapped("Projects", KANBAN, "POST /api/projects", "project.create"),
    Mapped("Projects", TEAM, "GET /api/projects", "project.list"),
    Mapped("Projects", TEAM, "POST /api/projects", "project.create"),
    Mapped("Projects", TEAM, "GET /api/projects/:id", "project.get"),
    Mapped("Projects", TEAM, "PUT /api/projects/:id", "project.update"),
    Mapped("Projects", TEAM, "DELETE /api/projects/:id", "project.delete"),
    Mapped("Tasks", BRANDS, "GET /brands/:brandId/projects/:projectId/tasks", "task.list"),
    Mapped("Tasks", BRANDS, "GET /brands/:brandId/tasks/:id", "task.get"),
    Mapped("Tasks", BRANDS, "POST /brands/:brandId/projects/:projectId/tasks", "task.create"),
    Mapped("Tasks", BRANDS, "PUT /brands/:brandId/tasks/:id", "task.update"),
    Mapped("Tasks", BRANDS, "DELETE /brands/:brandId/tasks/:id", "task.delete"),
    Mapped(
        "Tasks", BRANDS, "POST /brands/:brandId/tasks/:id/assign", "task.update", "`changes.assignee_ids`"
    ),
    Mapped("Tasks", BRANDS, "POST /brands/:brandId/tasks/:id/status", "task.update", "`changes.status_id`"),
    Mapped("Tasks", BRANDS, "POST /brands/:brandId/tasks/:id/priority", "task.update", "`changes.priority`"),
    Mapped("Tasks", BRANDS, "GET /brands/:brandId/tasks/:id/subtasks", "task.list", "with `parent_id`"),
    Mapped("Tasks", BRANDS, "POST /brands/:brandId/tasks/:id/subtasks", "task.create", "with `parent_id`"),
    Mapped("Tasks", BRANDS, "PUT /brands/:brandId/subtasks/:id", "task.update", "a subtask is a task"),
    Mapped("Tasks", BRANDS, "DELETE /brands/:brandId/subtasks/:id", "task.delete", "a subtask is a task"),
    Mapped("Tasks", KANBAN, "GET /api/projects/{projectId}/tasks", "task.list"),
    Mapped("Tasks", KANBAN, "POST /api/projects/{projectId}/tasks", "task.create"),
    Mapped("Tasks", KANBAN, "PUT /api/tasks/{taskId}", "task.update"),
    Mapped("Tasks", KANBAN, "DELETE /api/tasks/{taskId}", "task.delete"),
    Mapped("Tasks", TEAM, "GET /api/projects/:id/tasks", "task.list"),
    Mapped("Tasks", TEAM, "POST /api/projects/:id/tasks", "task.create"),
    Mapped("Tasks", TEAM, "PUT /api/tasks/:id", "task.update"),
    Mapped("Tasks", TEAM, "DELETE /api/tasks/:id", "task.delete"),
    Mapped("Boards", KANBAN, "PUT /api/boards/{boardId}/tasks/{taskId}/move", "task.move"),
    Mapped("Files", KANBAN, "POST /api/files/upload", "file.upload"),
    Mapped("Files", KANBAN, "GET /api/files/{fileId}/download", "file.content"),
    Mapped("Live", TEAM, "Socket.IO /socket.io/", "/socket.io/"),
    Mapped("Health", BRANDS, "GET /health", "/health"),
    Mapped("Health", BRANDS, "GET /health/database", "/health/ready", "`checks.postgres`"),
    Mapped("Health", BRANDS, "GET /health/redis", "/health/ready", "`checks.bus`"),
    Mapped("Health", TEAM, "GET /health", "/health"),
)
