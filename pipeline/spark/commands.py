"""`cc100 spark jar`."""

import argparse
import sys

from cc100.pipeline.spark.jar import make_jar


def run_spark_command(options: argparse.Namespace) -> int:
    """Run `cc100 spark ...`; its exit code.

    Raises:
        Cc100Error: with a line for the user.
    """
    jar = make_jar(lambda line: print(line, file=sys.stderr, flush=True), options.assemble)
    print(f"{jar.path}: {jar.bytes:,} bytes, Spark {jar.spark}, {jar.origin}, SHA-256 {jar.sha256}")
    return 0
