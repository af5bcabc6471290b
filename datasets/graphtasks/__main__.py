"""`python -m graphtasks`."""

from graphtasks.cli import main

if __name__ == "__main__":
    main()
