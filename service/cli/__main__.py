"""`python -m service.cli`: the console script, also where it is not on the PATH."""

from service.cli import main

if __name__ == "__main__":
    main()
