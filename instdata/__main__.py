"""`python -m instdata`, which torchrun needs."""

from instdata.cli.main import main

main()
