"""Paths of the documents: the same at the root, as the contract has the collection, and under the version."""

from typing import Final

from api.version import PREFIX

NEWEST_NAME: Final = "/openapi.json"
OLDER_NAME: Final = "/openapi-3.0.json"
POSTMAN_NAME: Final = "/postman-collection.json"
NAMES: Final = (NEWEST_NAME, OLDER_NAME, POSTMAN_NAME)
NEWEST: Final = PREFIX + NEWEST_NAME
