"""`python -m qtxconn`: the command line."""

from qtxconn.cli.main import main

if __name__ == "__main__":
    main()
