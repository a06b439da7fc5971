"""When and by whom: sprints, the schedule, allocations, budgets."""
