"""`python -m lite_llm4rec` is the command line."""

from lite_llm4rec.cli import main

main()
