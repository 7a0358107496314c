"""The canary judge: decides whether a new release does harm, as early as the evidence allows, at any number of looks.

`judge` is the entry point; `docs/canary-judge.md` explains how it works and how many requests it needs.
"""
