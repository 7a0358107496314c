"""The canary judge: whether a new release does harm, decided as early as the evidence allows, however often is looked.

`judge` is the way in; `docs/canary-judge.md` says how it works and what it was measured to need.
"""
