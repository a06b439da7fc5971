"""What people say about tasks: comments, mentions, reactions."""
