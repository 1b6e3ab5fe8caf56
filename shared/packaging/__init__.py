"""Packages: a bundle as a zip file that needs nothing else of this project.

A package is one folder: the bundle's configs, docs, LICENSE and, when they were trained on real data, weights; all of
``shared`` beside them; requirements.txt; and package.json, which names the package and the SHA-256 of its files.
"""
