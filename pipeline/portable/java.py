"""Java for the engines: which one, whether it will do, and the options it needs."""

import os
import pathlib
import re
import subprocess

from cc100.shards.errors import ConfigurationError

VERSIONS = (11, 17)
"""Spark 3.5 and Flink 1.19 run on 8, 11 and 17; Beam's newer classes need 11."""

_OPENED = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)
MODULE_OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED),
    "-Djdk.reflect.useDirectMethodHandle=false",
)
"""What Spark's own scripts give to Java 17 (JavaModuleOptions); Java 11 takes them too."""


def find_java(engine: str, launcher: str = "java") -> str:
    """A `java` that the engines and Beam run on.

    Args:
        engine: name of the engine.
        launcher: program to use; by default that of JAVA_HOME, else the one in PATH.

    Raises:
        ConfigurationError: there is none, or it is of another version.
    """
    home = os.environ.get("JAVA_HOME")
    program = str(pathlib.Path(home) / "bin" / "java") if launcher == "java" and home else launcher
    needed = " or ".join(map(str, VERSIONS))
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigurationError(
            f"{engine} needs Java {needed}, and {program} cannot be run ({error.strerror}). Install one, and set JAVA_HOME to it"
        ) from error
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    if found is None or int(found[1]) not in VERSIONS:
        what = f"is Java {found[1]}" if found else "does not tell its version"
        raise ConfigurationError(f"{engine} needs Java {needed}; {program} {what}. Set JAVA_HOME to one that will do")
    return program
