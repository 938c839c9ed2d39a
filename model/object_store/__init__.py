"""Whole files under keys, in a folder or in a bucket."""
