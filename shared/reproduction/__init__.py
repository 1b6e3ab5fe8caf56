"""Reproduction of the papers' tables and figures: what is run, how it is compared, and how it is shown."""
