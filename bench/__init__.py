"""The comparison of Atrium with its peers: `make bench`. See `bench/cases.py` for what is compared."""
