"""Programs that run in the sandbox, over the libraries of `locks/scanners.txt`. Nothing of the engine imports them."""
