"""Pure rules. Time and ids are arguments; no IO; only the standard library, pydantic and listed pure libraries."""
