"""What happened, read from the log: activity, history, undo."""
