"""The command of a component in Python: it runs the program that its first argument names, with the other arguments."""

# Nothing is imported while it runs, so what the program needs is packed by being named here.
import errno  # noqa: F401
import os  # noqa: F401
import stat  # noqa: F401
import sys

from wit_world import exports
from wit_world.imports import environment


class Run(exports.Run):
    def run(self):
        sys.argv = environment.get_arguments()[1:]
        with open(sys.argv[0], encoding="utf-8") as source:
            program = compile(source.read(), sys.argv[0], "exec")
        exec(program, {"__name__": "__main__"})
