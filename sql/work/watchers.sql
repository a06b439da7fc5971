-- Who watches a task: kept with the task, read with it.

-- set_watchers :exec
UPDATE tasks SET watcher_ids = :watcher_ids, unwatched_ids = :unwatched_ids
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :task_id;
