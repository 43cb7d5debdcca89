"""`python -m instdata`, which torchrun needs."""

from instdata.cli import main

main()
