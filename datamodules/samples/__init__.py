"""Generators of small data sets in the official layouts, one file per data set."""
