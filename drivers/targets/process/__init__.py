"""Instances as processes of this machine, each under a shim."""

from drivers.targets.process.target import ProcessTarget

__all__ = ["ProcessTarget"]
