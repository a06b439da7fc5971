"""Activity: what has happened in a task, a project, a tenant or by a person, in sentences.

Feeds are read from the rooms' logs, so they tell what the log keeps, newest first. Whoever hears an event gets it in words
by asking for what came `since` the number before it.
"""

from handlers.context import Tx
from handlers.registry import Page, Reply, query
from handlers.work.past.entries import Entry, entries
from handlers.work.past.feeds import Feed, WideFeed, read_feed, read_wide_feed


class Activity(Reply):
    entries: list[Entry]


@query("activity.list", needs="project.view", rest="GET /projects/{project_id}/activity")
async def list_activity(tx: Tx, ask: Feed) -> Page[Activity]:
    """What has happened in a project, or to one of its tasks, newest first."""
    events, pagination = await read_feed(tx, ask)
    return Page(Activity(entries=await entries(tx, events, focus=ask.task_id)), pagination)


@query("activity.list_all", needs="project.view", rest="GET /tenants/{tenant_id}/activity", room="tenant")
async def list_all(tx: Tx, ask: WideFeed) -> Page[Activity]:
    """What has happened in the tenant, or by one person, in all projects that one may see, newest first."""
    events, kinds, pagination = await read_wide_feed(tx, ask)
    return Page(Activity(entries=await entries(tx, events, kinds=kinds)), pagination)
