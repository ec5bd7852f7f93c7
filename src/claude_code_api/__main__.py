"""`python -m claude_code_api`: the command line, for where its script is not on the path."""

from claude_code_api.cli import main

if __name__ == "__main__":
    main()
