"""Rules of projects: when something happens, and a condition holds, something else is done."""
