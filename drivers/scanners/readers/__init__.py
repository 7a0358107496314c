"""Functions that make findings of what tools wrote. They are called in processes with limits alone."""
