"""Stages on Flink: the user's flags completed, and the parts of a job server."""
