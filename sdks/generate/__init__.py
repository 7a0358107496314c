"""Writes what is the same in all SDKs: a resource class for each `x-sdk-name`, in each language."""
