"""Compiles the modules that every message passes through with mypyc (pyproject.toml lists them), and the C.

All of it is there as plain Python too, and runs as such, for half as much CPU again, where there is no C
compiler or where SIOLOAD_PURE=1 is set. This stands here because pip and setuptools take extensions that a
function makes from no other place.
"""

import os
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

#: Modules that are C.
NATIVE = ("net/_wire", "measure/_counts")
#: What pip asks before it builds: translating all to C for each of them would take thrice as long.
QUESTIONS = {"egg_info", "dist_info", "sdist"}


def extensions():
    if os.environ.get("SIOLOAD_PURE") or QUESTIONS & set(sys.argv):
        return []
    from mypyc.build import mypycify

    hot = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["sioload"]["compiled"]
    files = [name.replace(".", "/") + ".py" for name in hot]
    try:
        found = mypycify(
            ["--config-file=", "--ignore-missing-imports", *files],
            debug_level="0",
            strip_asserts=True,
            group_name="sioload._hot",
        )
    except SystemExit as error:
        print(f"sioload: mypyc failed ({error}); all of it stays plain Python", file=sys.stderr)
        return []
    found += [Extension(f"sioload.{name.replace('/', '.')}", [f"sioload/{name}.c"]) for name in NATIVE]
    for extension in found:
        flags = [flag for flag in extension.extra_compile_args if flag != "-Werror"]
        # Its functions call each other directly, not as if another library might replace them.
        extension.extra_compile_args = [*flags, "-fvisibility=hidden", "-fno-semantic-interposition"]
    return found


class AllOrNothing(build_ext):
    """Each compiled module is a door to the one that holds the code: without that one, none may be left."""

    def build_extensions(self):
        try:
            super().build_extensions()
        except (BaseError, CCompilerError, OSError) as error:
            print(f"sioload: compiling failed ({error}); all of it stays plain Python", file=sys.stderr)
            self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": AllOrNothing})
