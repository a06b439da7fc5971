"""Every hot statement reads large tables by an index: as the login role, under row-level security, in a large tenant."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from handlers.paging import FIRST_ID, FIRST_MOMENT, LAST_ID, LAST_MOMENT
from handlers.work.finding.fields import Known
from handlers.work.finding.filters import Filter
from handlers.work.finding.find import visible, way_in
from handlers.work.finding.sorting import SortKey, order_of
from handlers.work.finding.sql import Work, compile_filter
from server.scale import SLUG, TABLES, Size, load
from storage.postgres import SESSION
from storage.statements import Clause, as_json
from storage.statements import load as statements
from tests.world import LOGIN_PASSWORD, Cluster, World, fresh_world

SIZE: Final = Size(tasks=20_000, projects=2_000, comments=1_000)
LOGGED: Final = 20_000
"""Rows of the log, of replies and of the audit log that are added, for the planner to take them seriously."""
NEIGHBOURS: Final = 5_000
"""People of another tenant on the same server."""
LARGE: Final = {
    "tasks", "task_assignees", "comments", "dependencies", "task_links", "approvals", "reminders", "series", "room_events", "applied_commands", "rooms", "projects", "project_members",
    "statuses", "boards", "board_columns", "members", "users", "audit_entries", "audit_pending",
    "checklists", "checklist_items",
    "event_tasks", "history_steps", "sprints", "sprint_facts", "rules", "rule_runs", "rule_dues",
    "comment_revisions", "files",
}  # fmt: skip
"""Tables that grow with the work that is done: to read one of them whole is never right."""
NOW: Final = datetime(2026, 11, 20, tzinfo=UTC)
FILTERS: Final = dict.fromkeys((
    "open", "priority", "type", "tag", "due_from", "due_before", "updated_since", "column_id", "status_id",
    "assignee_id", "parent_id", "text", "project_ids", "status", "owner_id", "unit_id", "in_archive",
    "open", "priority", "type", "tag", "label_id", "due_from", "due_before", "updated_since", "column_id", "status_id",
    "open", "overdue", "priority", "type", "tag", "due_from", "due_before", "updated_since", "column_id", "status_id",
    "assignee_id", "parent_id", "text", "project_ids",
))  # fmt: skip
PLACES: Final = {
    "after_number": 0, "after_position": "", "after_id": FIRST_ID, "after_at": FIRST_MOMENT, "before_at": LAST_MOMENT,
    "before_id": LAST_ID, "place_at": FIRST_MOMENT, "place_id": FIRST_ID, "far": LAST_MOMENT, "after_name": "",
    "max_rows": 51,
}  # fmt: skip

HOT: Final[dict[str, dict[str, Any]]] = {
    # Every command.
    "open_room": {},
    "lock_rooms": {},
    "was_applied": {"command_id": FIRST_ID},
    "append_log": {},
    # Every query and join.
    "room_for": {},
    "room_position": {},
    "actor_rights": {},
    "rights_in_rooms": {},
    "events_after": {"after_seq": 0, "upto_seq": 200, "max_events": 50, "max_bytes": 1 << 20},
    "room_heads": {},
    # Opening a board.
    "project": {},
    "project_standing": {},
    "snapshot_tasks": {},
    "boards_of": {},
    "columns_of": {},
    "statuses_of": {},
    "project_members_of": {},
    # Tasks.
    "project_of_task": {},
    "task": {},
    "move_contexts": {},
    "open_for_moves": {},
    "move_tasks": {},
    "landing_column": {"status_id": None, "beside": None},
    "next_task_number": {},
    "create_task": {"column_id": "column", "status_id": "status", "sprint_id": None},
    "update_task": {"column_id": "column", "status_id": "status", "sprint_id": None},
    "assignable": {},
    "replace_assignees": {},
    "delete_tasks": {},
    "is_below": {"parent_id": "task"},
    "whereabouts": {},
    "archived_families": {},
    "put_back_tasks": {},
    "board_layout": {},
    "board_layouts_of": {},
    "keep_board_layout": {"column_ids": []},
    "view": {},
    "views_by_name": {},
    "shared_views_of": {},
    "own_views_of": {},
    "column_ends": {},
    "tasks_on_board": {},
    "place_tasks": {},
    "tasks_of_status": {"status_id": "status"},
    "tasks_in_status": {"status_id": "status"},
    "held_by_status": {"status_id": "status"},
    "held_of_project": {},
    "tasks_not_shown": {"column_id": "column"},
    "retag_tasks": {"old_id": "status", "new_id": "status", "done": True},
    "parents_of_status": {"status_id": "status"},
    "retag_stored": {"old_id": "status", "new_id": "status"},
    "statuses_by_ids": {},
    "column_order": {"column_id": "column"},
    "rebalance_tasks": {},
    "assignments_of": {},
    "assignees_of": {},
    # Lists.
    "tasks_by_number": {"archived": False},
    "tasks_by_due": {"archived": False},
    "tasks_by_change": {"archived": False},
    "tasks_in_column": {"column_id": "column"},
    "tasks_assigned": {},
    "tasks_matching": {},
    "find_tasks": {},
    "count_tasks": {},
    "group_tasks": {},
    "projects_of": {},
    # Custom fields.
    "task_fields": {},
    "fields_of": {},
    "field": {"field_id": FIRST_ID},
    "former_field": {},
    "tasks_to_compute": {},
    "set_fields": {},
    # Subtasks, archive, keys.
    "found_task": {},
    "recount_subtasks": {},
    "task_tree": {},
    "archive_tasks": {},
    "archived_task": {},
    "archived_with": {},
    "task_by_key": {"key": "S1-1", "prefix": "S1", "number": 1},
    # Links, approval.
    "link_ends": {"type": "relates"},
    "bring_back_items": {"items": "[]"},
    "link_between": {"type": "relates"},
    "add_link": {"type": "relates"},
    "link": {},
    "remove_link": {},
    "links_of_task": {},
    "approval": {},
    "request_approval": {},
    "answer_approval": {},
    "set_approval": {"approval": "approved"},
    "requires_approval": {},
    # Reminders, recurrence.
    "count_reminders": {},
    "add_reminder": {},
    "reminder": {},
    "remove_reminder": {},
    "reminders_of_task": {},
    "reminder_to_fire": {},
    "mark_fired": {},
    "replan_reminders": {},
    "series_of_task": {},
    "set_series": {"id": "series", "time_zone": "UTC"},
    "join_series": {},
    "shift_task": {},
    "advance_series": {},
    "end_series": {},
    "series_to_make": {},
    "task_of_series": {},
    "column_of_series": {"column_id": "column"},
    "copy_reminders": {"from_id": "other"},
    "copy_task_checklists": {"from_id": "other"},
    # To another project, again, or into one.
    "task_family": {},
    "next_task_numbers": {"count": 1},
    "tasks_of_family": {},
    "tasks_anywhere": {},
    "transfer_tasks": {"to_project_id": "project", "from_project_id": "project"},
    "copy_family": {"to_project_id": "project"},
    "subtasks_of": {},
    "merge_task": {"into_id": "other"},
    # Comments.
    "comment": {},
    "comments_newest": {},
    "comments_oldest": {},
    "add_comment": {"parent_id": None},
    "found_comment": {},
    "comment_revisions_of": {},
    "settle_thread": {},
    "set_reactions": {},
    "mentioned_people": {},
    "mentioned_teams": {},
    "mentioned_roles": {},
    "edit_comment": {},
    "delete_comment": {},
    # Files.
    "project_of_file": {"entity_id": "file"},
    "begin_upload": {"name": "N"},
    "uploads_under_way": {"since": NOW},
    "keep_upload": {"id": "begun", "name": "N"},
    "claim_uploads": {"ids": ["begun"]},
    "ready_files": {"ids": ["file"]},
    "use_file_space": {"more": 9, "quota": 0},
    "file_space": {},
    "file": {},
    "files_of": {},
    "rename_file": {"name": "N"},
    "delete_file": {},
    "files_by_ids": {},
    "set_task_files": {"new_ids": []},
    "count_attached": {},
    "take_file_off": {},
    "files_to_transfer": {"may_edit": False},
    "transfer_files": {"to_project_id": "project", "from_project_id": "project"},
    "leave_files": {},
    "files_of_purged": {"most": 1000},
    "forget_files": {"ids": ["file"]},
    "strange_blobs": {"ids": ["file"]},
    # Many at once.
    "tasks_by_ids": {},
    "update_many_tasks": {},
    "assign_many": {},
    "unassign_many": {},
    "delete_many_tasks": {},
    # Watchers, labels, checklists.
    "set_watchers": {},
    "labels_of": {},
    "labels_by_ids": {},
    "count_labelled": {"label_id": "task"},
    "take_label_off": {"label_id": "task"},
    "checklists_of": {},
    "checklist": {},
    "place_checklist": {"name": "N"},
    "spread_checklists": {},
    "items_of_task": {},
    "items_of_checklist": {},
    "checklist_item": {},
    "write_item": {},
    "spread_items": {},
    "remove_item": {},
    "count_items": {},
    # Dependencies.
    "dependency": {},
    "dependency_ends": {},
    "waits_for_parent": {"parent_id": "task"},
    "dependencies_behind": {},
    "add_dependency": {"type": "finish_start"},
    "update_dependency": {"type": "finish_start"},
    "remove_dependency": {},
    "dependencies_of_task": {},
    "dependencies_of_project": {},
    "dependencies_of_tasks": {},
    "dependencies_of_shown": {},
    "tasks_to_schedule": {},
    # History and activity.
    "append_event_tasks": {},
    "own_events": {"most": 1_000},
    "history_steps_of": {},
    "record_history_step": {"seq": 3_000_000},
    "done_by_others": {"most": 1_000},
    "done_by_others_named": {"most": 1_000},
    "card_from": {"column_id": "column"},
    "set_completed": {"completed_at": None},
    "subtasks_of_others": {},
    "places_in": {},
    "bring_back_tasks": {"from_archive": False},
    "events_between": {"command_id": FIRST_ID},
    "project_log": {},
    "project_log_of": {},
    "task_log": {},
    "tenant_log": {},
    "shared_log": {},
    "person_log": {},
    "task_names": {},
    "column_names": {},
    "status_names": {},
    "board_names": {},
    "project_names": {},
    "label_names": {},
    "sprint_names": {},
    "user_names": {},
    # Rules.
    "rule": {},
    "rules_of": {},
    "rules_enabled": {},
    "count_rules": {},
    "settle_triggers": {},
    "columns_there": {},
    "labels_there": {},
    "task_template": {},
    "task_template_for_project": {},
    "task_templates_for_project": {},
    "task_templates_of_tenant": {},
    "count_task_templates": {},
    "templates_there": {},
    "record_rule_runs": {},
    "audit_rule_runs": {"command_id": FIRST_ID},
    "runs_of_project": {},
    "runs_of_rule": {},
    "set_next_strike": {},
    "tasks_for_rule": {},
    "sprint_tasks_for_rule": {},
    "active_sprint": {},
    "sprints_there": {},
    "waits_for_due": {},
    "tasks_due_for_rules": {},
    "remember_due": {},
    "forget_dues": {},
    # Sprints and the backlog.
    "sprint": {},
    "open_sprints": {},
    "sprints_of_board": {},
    "sprints_by_creation": {"status": None},
    "completed_sprint_at": {"skipped": 3},
    "next_sprint": {},
    "sprint_to_fill": {},
    "open_tasks_of_sprint": {},
    "tasks_counted_by_sprint": {},
    "tasks_counted_by_open_sprints": {},
    "to_sprint": {},
    "empty_sprint": {},
    "tasks_with_subtasks": {},
    "tasks_of_sprint": {},
    "load_of_sprint": {},
    "settle_sprint_facts": {},
    "sprint_days": {},
    "velocity_of_sprints": {},
    "backlog": {},
    "backlog_context": {},
    "backlog_before": {},
    "backlog_from": {},
    "backlog_after": {},
    "place_in_backlog": {},
    # Projects.
    "children_of": {},
    "held_by": {"project_ids": ["project"]},
    "reckon_progress": {"project_ids": ["project"]},
    "budget": {},
    "deleted_projects": {},
    "deleted_tasks": {},
    "task_figures": {},
    "next_milestones": {},
    "held_in": {},
    "shape_to_copy": {"source_id": "project"},
    "tasks_to_copy": {"source_id": "project"},
    "first_moments": {"source_id": "project"},
    "purge_tasks": {"older_than": FIRST_MOMENT, "most": 1000},
    "purge_project_tasks": {"most": 1000},
}
"""Statement -> what it is given beside the usual."""


class Large:
    """A world with the large tenant in it, and what its statements are asked about."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ids: dict[str, Any] = {}

    async def fill(self, size: Size = SIZE) -> None:
        world = self.world
        assert await load(world.node, world.login, LOGIN_PASSWORD, world.dsn, size, lambda *_: None)
        async with world.sql() as db:
            self.ids = dict(await db.fetchrow(
                "SELECT t.tenant_id AS tenant, t.project_id AS project, t.column_id AS column, t.status_id AS status, "
                "t.id AS task, c.id AS comment, c.author_id AS actor FROM comments AS c "
                "JOIN tasks AS t ON t.tenant_id = c.tenant_id AND t.id = c.task_id "
                "JOIN tenants AS o ON o.id = t.tenant_id AND o.slug = $1 ORDER BY t.comment_count DESC LIMIT 1",
                SLUG,
            ))  # fmt: skip
            await db.execute(
                "WITH people AS (INSERT INTO users (id, email, name) SELECT gen_random_uuid(), 'p' || n || '@x.example', "
                "'P' FROM generate_series(1, $1) AS n RETURNING id) INSERT INTO members (tenant_id, user_id, role) "
                "SELECT t.id, p.id, 'member' FROM people AS p CROSS JOIN tenants AS t WHERE t.slug = 'rival'",
                NEIGHBOURS,
            )
            await db.execute(
                "INSERT INTO room_events (tenant_id, room_id, seq, name, at, actor_id, command_id, data) "
                "SELECT r.tenant_id, r.id, 1000000 + n, 'task.moved', now(), $1, gen_random_uuid(), '{}' "
                "FROM rooms AS r CROSS JOIN generate_series(1, $2) AS n WHERE r.kind = 'project'",
                self.ids["actor"], LOGGED // size.projects,
            )  # fmt: skip
            await db.execute(
                "INSERT INTO applied_commands (tenant_id, actor_id, command_id, room_id, name, fingerprint, seq, reply, at)"
                " SELECT e.tenant_id, e.actor_id, e.command_id, e.room_id, 'task.move', '', e.seq, '{}', e.at "
                "FROM room_events AS e ON CONFLICT DO NOTHING"
            )
            await db.execute(
                "INSERT INTO audit_entries (tenant_id, id, at, action, outcome, resource, address, user_agent) "
                "SELECT tenant_id, gen_random_uuid(), at, 'task.move', 'ok', '', '', '' FROM room_events"
            )
            self.ids["other"] = await db.fetchval(
                "SELECT id FROM tasks WHERE tenant_id = $1 AND project_id <> $2 LIMIT 1",
                self.ids["tenant"], self.ids["project"],
            )  # fmt: skip
            await db.execute(
                "INSERT INTO dependencies (tenant_id, project_id, id, task_id, depends_on_id, created_by, created_at) "
                "SELECT c.tenant_id, c.project_id, gen_random_uuid(), c.id, c.before, c.created_by, now() FROM ("
                "SELECT t.*, lag(t.id) OVER (PARTITION BY t.tenant_id, t.project_id ORDER BY t.number) AS before "
                "FROM tasks AS t) AS c WHERE c.before IS NOT NULL"
            )
            # A sprint in each project, and what it has counted of every task.
            await db.execute(
                "INSERT INTO sprints (tenant_id, project_id, id, name, status, created_by, created_at, updated_by, updated_at)"
                " SELECT tenant_id, id, id, 'Sprint', CASE WHEN id = $1 THEN 'active' ELSE 'completed' END, $2, now(), $2, "
                "now() FROM projects", self.ids["project"], self.ids["actor"],
            )  # fmt: skip
            await db.execute(
                "UPDATE tasks SET sprint_id = project_id, backlog_position = 'a' || number WHERE project_id = $1 "
                "AND number % 100 = 0", self.ids["project"],
            )  # fmt: skip
            await db.execute(
                "INSERT INTO sprint_facts (tenant_id, project_id, sprint_id, task_id, at, begun, tasks, minutes, done_tasks, "
                "done_minutes) SELECT tenant_id, project_id, project_id, id, now(), false, 1, 0, 0, 0 FROM tasks"
            )
            await db.execute(
                "INSERT INTO task_links (tenant_id, id, task_id, other_id, type, created_by, created_at) "
                "SELECT tenant_id, gen_random_uuid(), task_id, depends_on_id, 'relates', created_by, now() FROM dependencies"
            )
            await db.execute(
                "INSERT INTO approvals (tenant_id, project_id, task_id, approver_ids, note, requested_by, requested_at) "
                "SELECT tenant_id, project_id, id, ARRAY[created_by], '', created_by, now() FROM tasks"
            )
            await db.execute(
                "INSERT INTO reminders (tenant_id, project_id, task_id, id, audience, before_minutes, created_by, created_at) "
                "SELECT tenant_id, project_id, id, gen_random_uuid(), 'me', 5, created_by, now() FROM tasks"
            )
            await db.execute(
                "INSERT INTO series (tenant_id, project_id, id, rule, time_zone, mode, task_id, column_id, begins_at, "
                "occurs_at, created_by, created_at) SELECT tenant_id, project_id, id, 'FREQ=DAILY', 'UTC', "
                "'on_completion', id, column_id, now(), now(), created_by, now() FROM tasks"
            )
            await db.execute("UPDATE tasks SET series_id = id WHERE id = $1", self.ids["task"])
            self.ids["series"] = self.ids["task"]
            await db.execute(
                "INSERT INTO checklists (tenant_id, project_id, task_id, id, name, position, created_by, created_at) "
                "SELECT t.tenant_id, t.project_id, t.id, gen_random_uuid(), 'C', 'a0', t.created_by, now() FROM tasks AS t"
            )
            await db.execute(
                "INSERT INTO checklist_items (tenant_id, task_id, checklist_id, id, text, position, created_by, created_at) "
                "SELECT c.tenant_id, c.task_id, c.id, gen_random_uuid(), 'I', 'a0', c.created_by, now() FROM checklists AS c"
            )
            self.ids |= dict(await db.fetchrow(
                "SELECT checklist_id AS checklist, id AS item FROM checklist_items WHERE task_id = $1", self.ids["task"]
            ))  # fmt: skip
            await db.execute(
                "INSERT INTO comment_revisions (tenant_id, comment_id, version, body, author_id, written_at) "
                "SELECT c.tenant_id, c.id, n, 'B', c.author_id, now() FROM comments AS c, generate_series(101, 110) AS n"
            )
            await db.execute(
                "INSERT INTO files (tenant_id, project_id, id, blob_id, status, name, size, created_by, created_at, "
                "updated_by, updated_at) SELECT tenant_id, project_id, id, id, CASE number % 50 WHEN 0 THEN 'uploading' "
                "ELSE 'ready' END, 'F', 1000, created_by, created_at, updated_by, updated_at FROM tasks"
            )
            for name, status in (("file", "ready"), ("begun", "uploading")):
                self.ids[name] = await db.fetchval(
                    "SELECT id FROM files WHERE project_id = $1 AND status = $2 LIMIT 1",
                    self.ids["project"],
                    status,
                )
            await self._fill_rules(db)
            for table in (
                "files",
                "comment_revisions",
                "checklists",
                "checklist_items",
                "dependencies",
                "reminders",
                "series",
                "task_links",
                "approvals",
                "sprints",
                "sprint_facts",
                "room_events",
                "applied_commands",
                "audit_entries",
                "users",
                "members",
            ):
                await db.execute(f"ANALYZE {table}")

    async def _fill_rules(self, db: Any) -> None:
        await db.execute(
            "INSERT INTO rules (tenant_id, project_id, id, name, owner_id, enabled_at, trigger, definition, created_by, "
            "created_at, updated_by, updated_at) SELECT p.tenant_id, p.id, gen_random_uuid(), 'A rule', p.updated_by, "
            "'2000-01-01', 'task.due', '{}', p.updated_by, now(), p.updated_by, now() FROM projects AS p"
        )
        await db.execute(
            "INSERT INTO rule_runs (tenant_id, project_id, id, rule_id, at, trigger, outcome, actions) "
            "SELECT r.tenant_id, r.project_id, gen_random_uuid(), r.id, now() - n * interval '1 minute', r.trigger, "
            "'did', '[]' FROM rules AS r CROSS JOIN generate_series(1, 20) AS n"
        )
        of_project = "SELECT id FROM rules WHERE project_id = $1"
        self.ids["rule"] = await db.fetchval(of_project, self.ids["project"])
        await db.execute("ANALYZE rules, rule_runs")

    def _of_rules(self) -> dict[str, Any]:
        ids = self.ids
        return {
            "rule_id": ids["rule"],
            "trim_ids": [ids["rule"]],
            "keep": 5,
            "template_id": uuid4(),
            "next_at": NOW,
            "rule_ids": [ids["rule"]],
            "due_ats": [NOW],
            "counts": _json(
                {"id": ids["rule"], "minute_at": NOW, "minute_runs": 1, "hour_at": NOW, "hour_runs": 1}
            ),
            "runs": _json(
                {
                    "id": uuid4(),
                    "rule_id": ids["rule"],
                    "trigger": "task.created",
                    "outcome": "did",
                    "actions": [],
                }
            ),
        }

    def values(self, name: str) -> dict[str, Any]:
        """Every parameter that a hot statement may have."""
        ids = self.ids
        usual = {
            **self._of_rules(),
            "fields": "{}",
            "tenant_id": ids["tenant"], "room_id": ids["project"], "project_id": ids["project"], "now": NOW,
            "task_id": ids["task"], "entity_id": ids["task"], "comment_id": ids["comment"], "actor_id": ids["actor"],
            "user_id": ids["actor"], "id": uuid4(), "sees_all": True, "people": [ids["actor"]], "group_id": None,
            "per_column": 501, "body": "Text", "number": 1_000_000, "key": "S1-0", "title": "Title", "description": "",
            "type": None, "priority": None, "position": "a0", "assignee_ids": [], "tags": [], "start_at": None,
            "due_at": None, "estimate_minutes": None, "depends_on_id": ids["other"], "dependency_id": uuid4(),
            "lag_minutes": 0, "time_zone": None, "all_day": False, "actual_minutes": None,
            "parent_ids": [ids["task"]], "other_id": ids["other"], "drop_ids": [], "edge_ids": [], "reminder_id": uuid4(), "audience": "me", "before_minutes": 5, "at": None,
            "series_id": ids["series"], "rule": "FREQ=DAILY", "mode": "on_schedule", "begins_at": NOW, "occurs_at": NOW, "link_id": uuid4(),
            "approver_ids": [ids["actor"]], "note": "",
            "sprint_id": ids["project"], "to_sprint_id": None, "shown": 3, "place": "l000000100000",
            "from_seq": 0, "upto_seq": 50, "since": 0, "before_seq": 2**63 - 1, "after_seq": 1_000_000,
            "before_room": LAST_ID, "silent": ["x"], "twice": ["y"], "names": ["column.updated"], "sees_tenant": True,
            "kind": "undo", "target_seq": 1, "seqs": [2_000_000],
            "place_number": 1000, "reach": 5, "anchor_id": ids["task"], "timezone": "Europe/Zurich", "last": 6,
            "subtasks": True, "body_html": "Text", "mentions": "[]", "reactions": "[]",
            "more_watchers": [ids["actor"]], "most_watchers": 200, "resolved_by": None, "resolved_at": None,
            "before_version": 200, "file_id": ids["file"], "file_ids": [ids["file"]], "blob_id": uuid4(), "size": 9, "content_type": "text/plain", "sha256": "00",
            "group_ids": [uuid4()], "roles": ["manager"], "role_ids": [],
            "watcher_ids": [], "unwatched_ids": [], "label_ids": [], "checklist_id": ids["checklist"],
            "item_id": ids["item"], "text": None, "done_by": None, "done_at": None,
            # One of each, for what takes several.
            "actor_ids": [ids["actor"]], "asked": _json({"actor_id": ids["actor"], "command_id": uuid4()}), "tenant_ids": [ids["tenant"]],
            "room_ids": [ids["project"]], "user_ids": [ids["actor"]], "task_ids": [ids["task"]], "ids": [ids["task"]],
            "column_ids": [ids["column"]], "status_ids": [ids["status"]], "positions": ["a1"], "board_id": uuid4(), "view_id": uuid4(), "shared": None, "lanes": [],
            "tasks": _json({
                "id": ids["task"], "type": "task", "priority": "low", "column_id": ids["column"],
                "status_id": ids["status"], "position": "a1", "assignee_ids": [], "tags": [], "number": 2_000_000, "prefix": "S1",
                "watcher_ids": [], "label_ids": [], "fields": {},
            }),
            "moves": _json({"task_id": ids["task"], "column_id": ids["column"]}),
            "moved": _json({
                "id": ids["task"], "column_id": ids["column"], "status_id": ids["status"], "position": "a1", "version": 2,
                "actor_id": ids["actor"], "at": datetime.now(UTC),
            }),
            "head_rooms": [ids["project"]], "head_seqs": [2_000_000],
            "log": as_json({"room_id": ids["project"], "at": datetime.now(UTC), "calls": [{
                "actor_id": ids["actor"], "command_id": uuid4(), "name": "task.move", "fingerprint": "00", "seq": 2_000_000,
                "reply": {}, "resource": "", "address": "", "user_agent": "",
            }], "events": [{
                "room_id": ids["project"], "seq": 2_000_000, "name": "task.moved", "actor_id": ids["actor"],
                "command_id": uuid4(), "data": {},
            }]}),
        }  # fmt: skip
        own = {
            key: [ids[one] for one in value]
            if isinstance(value, list)
            else ids.get(value, value)
            if isinstance(value, str)
            else value
            for key, value in HOT.get(name, {}).items()
        }
        writing = {"type": "task", "priority": "low"} if name in ("create_task", "update_task") else {}
        if name == "write_item":
            writing = {"id": ids["item"], "text": "T"}
        return {
            **FILTERS,
            **PLACES,
            **usual,
            **writing,
            **({"id": ids["task"]} if name == "update_task" else {}),
            **own,
        }

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """As the server has it: its role, its settings, the tenant set; nothing of it stays."""
        db = await asyncpg.connect(self.world.login, password=LOGIN_PASSWORD, server_settings=SESSION)
        try:
            transaction = db.transaction()
            await transaction.start()
            await db.execute("SELECT set_config('atrium.tenant', $1, true)", str(self.ids["tenant"]))
            yield db
            await transaction.rollback()
        finally:
            await db.close()

    async def plan(self, name: str, **more: Any) -> Any:
        """How the server carries out a statement: really done, and undone again."""
        statement, values = statements()[name], {**self.values(name), **more}
        if clauses := {key: more[key] for key in statement.places if key in more}:
            statement = statement.filled(clauses)
            values |= statement.given or {}
        async with self.connection() as db:
            assert await db.fetchval("SELECT current_user") == "atrium_app"
            text = await db.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}",
                *(values[key] for key in statement.params),
            )
        return json.loads(text)[0]["Plan"]


@pytest.fixture(scope="module")
async def large(cluster: Cluster) -> AsyncIterator[Large]:
    async with fresh_world(cluster) as world:
        tenant = Large(world)
        await tenant.fill()
        yield tenant


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", []) for node in nodes(inner))]


def read_whole(plan: dict[str, Any]) -> list[str]:
    """The large tables that a plan goes through from one end to the other."""
    return sorted(
        node["Relation Name"]
        for node in nodes(plan)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
    )


@pytest.mark.parametrize("name", HOT)
async def test_it_reads_by_an_index(large: Large, name: str) -> None:
    plan = await large.plan(name)
    assert read_whole(plan) == [], json.dumps(plan, indent=1)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("tasks_by_number", {"priority": "urgent", "open": True}),
        ("tasks_by_number", {"text": "nothing has this"}),
        ("tasks_by_number", {"tag": "round-4", "updated_since": NOW}),
        ("tasks_by_due", {"due_from": NOW}),
        ("tasks_assigned", {"open": True, "due_from": NOW}),
        ("tasks_assigned", {"sees_all": False}),
        ("projects_of", {"sees_all": False}),
        ("projects_of", {"parent_id": LAST_ID}),
        ("deleted_tasks", {"sees_all": False}),
    ],
)
async def test_filters_keep_to_the_index(large: Large, name: str, more: dict[str, Any]) -> None:
    plan = await large.plan(name, **more)
    assert read_whole(plan) == [], json.dumps(plan, indent=1)


MINE: Final = {"field": "assignees", "op": "has_any", "value": ["me"]}
OPEN: Final = {"field": "open", "op": "eq", "value": True}
SOON: Final = {"field": "due_at", "op": "between", "value": ["today", {"days": 7}]}
LATE: Final = {"field": "due_at", "op": "lt", "value": {"days": 0}}
ODD: Final = {"or": [
    {"field": "text", "op": "contains", "value": "nothing has this"}, {"field": "fields.size", "op": "gt", "value": 5},
    {"not": {"field": "status_category", "op": "in", "value": ["done", "cancelled"]}},
]}  # fmt: skip
CUSTOM: Final = {
    "size": Known(
        "number",
        "(CASE WHEN jsonb_typeof(t.fields -> {key}) = 'number' THEN (t.fields -> {key})::numeric END)",
    )
}


@pytest.mark.parametrize(
    ("name", "wanted", "sort", "narrowed"),
    [
        ("find_tasks", OPEN, "number", None),
        ("find_tasks", ODD, "priority", None),
        ("find_tasks", ODD, "fields.size", None),
        ("find_tasks", SOON, "due_at", None),
        ("count_tasks", ODD, None, None),
        ("group_tasks", ODD, None, None),
        ("tasks_matching", ODD, None, None),
        ("find_tasks_everywhere", {"and": [OPEN, MINE]}, "due_at", None),
        ("find_tasks_everywhere", {"and": [ODD, MINE]}, "priority", None),
        ("find_tasks_everywhere", {"and": [OPEN, SOON]}, "due_at", None),
        ("find_tasks_everywhere", {"and": [OPEN, LATE, ODD]}, "priority", None),
        ("find_tasks_everywhere", ODD, "due_at", "projects"),
        ("find_tasks_everywhere", ODD, "priority", "parts"),
        ("count_tasks_everywhere", {"and": [OPEN, MINE]}, None, None),
        ("count_tasks_everywhere", {"and": [OPEN, SOON]}, None, None),
        ("group_tasks_everywhere", {"and": [OPEN, MINE]}, None, None),
    ],
)  # fmt: skip
async def test_what_is_found_by_a_filter_is_read_by_an_index(
    large: Large, name: str, wanted: Any, sort: str | None, narrowed: str | None
) -> None:
    clauses = found_by(large, Filter.model_validate(wanted), sort, narrowed)
    plan = await large.plan(
        name, **{key: clause for key, clause in clauses.items() if key in statements()[name].places}
    )
    assert read_whole(plan) == [], json.dumps(plan, indent=1)


def found_by(large: Large, wanted: Filter, sort: str | None, narrowed: str | None) -> dict[str, Clause]:
    """What the queries of handlers/work/finding/find.py put into their statements."""
    me = large.ids["actor"]
    clauses = {"where": way_in(wanted, me, compile_filter(wanted, me=me, now=NOW, custom=CUSTOM))}
    if sort is not None:
        clauses |= order_of([SortKey(field=sort)], lambda: Work(me, NOW, UTC, CUSTOM), CUSTOM).clauses(None)
    if narrowed is not None:
        people, projects = ([me], None) if narrowed == "parts" else (None, [large.ids["project"]])
        clauses["visible"] = visible(people, projects)
    return clauses


@pytest.mark.parametrize("name", ["comments_newest", "comments_oldest", "tasks_by_number", "tasks_in_column"])
async def test_a_page_costs_a_page(large: Large, name: str) -> None:
    """A page in the order of an index reads about as many rows as it gives."""
    start = {"place_at": LAST_MOMENT, "place_id": LAST_ID} if name == "comments_newest" else {}
    plan = await large.plan(name, **start)
    read = [node for node in nodes(plan) if node.get("Relation Name") in ("comments", "tasks")]
    assert plan["Actual Rows"] == 51
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) <= 60, json.dumps(plan, indent=1)


async def test_rules_read_no_more_tasks_than_are_due(large: Large) -> None:
    plan = await large.plan("tasks_due_for_rules", max_rows=5)
    read = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
    assert plan["Actual Rows"] == 5
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) == 5, json.dumps(plan, indent=1)


async def test_a_look_back_reads_one_event_of_each_project(large: Large) -> None:
    read = "SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'room_events'"
    async with large.world.sql() as db, db.transaction():
        await db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await db.execute("UPDATE progress_looks SET at = now() - interval '1 day'")
        projects = await db.fetchval("SELECT count(*) FROM rooms WHERE kind = 'project'")
        before = await db.fetchrow(read)
        found = await db.fetch("SELECT * FROM forgotten_projects('1 hour', '1 hour')")
        after = await db.fetchrow(read)
    assert len(found) >= SIZE.projects
    assert after["seq_scan"] == before["seq_scan"]
    assert len(found) <= after["idx_tup_fetch"] - before["idx_tup_fetch"] <= projects


@pytest.mark.parametrize(
    ("name", "table", "index"),
    [
        ("snapshot_tasks", "tasks", "tasks_column_idx"),
        ("comments_newest", "comments", "comments_task_idx"),
        ("tasks_assigned", "task_assignees", "task_assignees_user_idx"),
    ],
)
async def test_without_its_index_it_is_noticed(large: Large, name: str, table: str, index: str) -> None:
    """The check can fail: the same statement, with the index gone, reads the table whole or sorts more than a page."""
    statement, values = statements()[name], large.values(name)
    async with large.world.sql() as db:
        transaction = db.transaction()
        await transaction.start()
        await db.execute(f"DROP INDEX {index}")
        await db.execute("SET LOCAL ROLE atrium_app")
        await db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await db.execute("SELECT set_config('atrium.tenant', $1, true)", str(large.ids["tenant"]))
        text = await db.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}", *(values[key] for key in statement.params)
        )
        await transaction.rollback()
    assert table in read_whole(json.loads(text)[0]["Plan"]), text


@pytest.mark.parametrize(("name", "joins"), [("tasks_assigned", 1), ("deleted_tasks", 0)])
async def test_projects_of_tasks_are_looked_up_one_by_one(large: Large, name: str, joins: int) -> None:
    """Joined with them, all projects are read again for each task, where the planner expects a single one of these."""
    plan = await large.plan(name)
    assert (
        sum("Join" in node["Node Type"] or node["Node Type"] == "Nested Loop" for node in nodes(plan))
        == joins
    )


def test_what_is_loaded_is_looked_at() -> None:
    """Whatever the loader fills is a large table here."""
    assert set(TABLES) <= LARGE


async def test_it_is_loaded_once(large: Large) -> None:
    world = large.world
    assert not await load(world.node, world.login, LOGIN_PASSWORD, world.dsn, SIZE, lambda *_: None)
    async with world.sql() as db:
        tenant_id: UUID = large.ids["tenant"]
        of = "WHERE tenant_id = $1"
        assert await db.fetchval(f"SELECT count(*) FROM tasks {of}", tenant_id) == SIZE.tasks
        assert await db.fetchval(f"SELECT count(*) FROM projects {of}", tenant_id) == SIZE.projects
        assert await db.fetchval(f"SELECT max(comment_count) FROM tasks {of}", tenant_id) == SIZE.comments
        wrong = (
            "SELECT count(*) FROM tasks AS t WHERE t.tenant_id = $1 AND t.comment_count <> (SELECT count(*) "
        )
        wrong += "FROM comments AS c WHERE c.tenant_id = $1 AND c.task_id = t.id AND c.deleted_at IS NULL)"
        assert await db.fetchval(wrong, tenant_id) == 0
        statement = statements()["reckon_progress"]
        values = {
            "tenant_id": tenant_id,
            "project_ids": await db.fetchval(f"SELECT array_agg(id) FROM projects {of}", tenant_id),
        }
        rows = await db.fetch(statement.sql, *(values[key] for key in statement.params))
        assert [row["id"] for row in rows if row["fresh"] != row["progress"]] == []
        assert any(row["progress"] for row in rows)


async def test_people_work_in_it(large: Large) -> None:
    """A board opens with a snapshot, a move is numbered after its head, and the log goes on from there."""
    world = large.world
    alice = world.person("alice")
    tokens = await alice.rest("POST", f"/tenants/{large.ids['tenant']}/switch")
    alice.tokens = tokens.data
    await alice.connect(token=tokens.data.access_token)
    listed = await alice.rest("GET", f"/tenants/{large.ids['tenant']}/projects", params={"limit": 1})
    project = listed.data.projects[0]
    joined = await alice.join(f"project:{project.id}")
    assert joined.mode == "snapshot"
    task = joined.snapshot.tasks[0]
    reply = await alice.send("comment.add", task_id=task.id, body="Here")
    assert reply.meta.seq == joined.seq + 1
    assert (await alice.hears("comment.added")).data.task.comment_count == task.comment_count + 1


def _json(row: dict[str, Any]) -> str:
    return orjson.dumps([row], default=str).decode()
