"""Programs in the place of Java's."""

import pathlib
import stat


def make_java(folder, version):
    """A program that says that it is this Java."""
    program = pathlib.Path(folder) / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
