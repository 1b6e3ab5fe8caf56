"""What each paper reports, and how it is measured again: one package per paper."""
