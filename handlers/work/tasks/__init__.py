"""Tasks: what they are, where they lie and what becomes of them."""
