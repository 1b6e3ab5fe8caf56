"""Bundles as folders: found, opened and checked; what a run says about itself."""
