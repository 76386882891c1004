"""Stages on Spark: the user's flags completed, bundles for spark-submit, and the parts of a job server."""
