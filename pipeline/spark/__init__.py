"""Stages on Spark: job-server jar, job server, worker processes, bundles for spark-submit."""
