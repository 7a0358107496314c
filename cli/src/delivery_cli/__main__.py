"""`python -m delivery_cli`: the same as `delivery`."""

from delivery_cli.main import main

if __name__ == "__main__":
    main()
