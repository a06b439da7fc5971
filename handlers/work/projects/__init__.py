"""Projects: what they are in and who takes part, their workflow, labels and fields."""
