"""`python -m runtime.start MODULE ARGUMENT...`: run `MODULE.main()` like `python -m MODULE`, only ready sooner.

Importing makes objects that live as long as the process. The garbage collector looks at all of them again and again
meanwhile, a fifth of the time it takes, and finds nothing; so it is off until all is imported, and never looks at
those again.
"""

import gc
import importlib
import sys


def main() -> int:
    """The exit status is that of the module; 2: none is named."""
    if len(sys.argv) < 2:  # noqa: PLR2004 - the module's name
        sys.stderr.write("name a module that has a main: python -m runtime.start worker --role all\n")
        return 2
    name, *arguments = sys.argv[1:]
    gc.disable()
    module = importlib.import_module(name)
    gc.freeze()
    gc.enable()
    sys.argv = [name, *arguments]
    status: int = module.main()
    return status


if __name__ == "__main__":
    sys.exit(main())
