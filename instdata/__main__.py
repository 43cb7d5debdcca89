"""`python -m instdata`, which torchrun needs, and the program `instdata`: little is imported before the guard is up."""

import sys


def run() -> None:
    """Run a command. Where not even the command line's modules fit into the memory, one line says so."""
    try:
        from instdata.cli.main import main

        main()
    except (MemoryError, SystemError):  # the compiler of Python may give up without the first
        sys.stderr.write("out of memory before anything was done: a higher ulimit -v, or a larger machine\n")
        sys.exit(1)


if __name__ == "__main__":
    run()
