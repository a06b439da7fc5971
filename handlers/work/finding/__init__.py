"""Finding tasks: filters, their order and pages, and the views that keep them."""
