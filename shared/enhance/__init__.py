"""Enhancement of many files by one command: what to do, one file at a time, and the report of what was done."""
