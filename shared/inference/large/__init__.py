"""Images too large to be held in memory: read, enhanced and written in bands."""
