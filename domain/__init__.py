"""Pure rules. Time and ids are arguments; no IO; only the standard library, pydantic and these pure libraries.

- pyyaml: delivery files (`yaml_nodes.py`)
- defusedxml: test reports (`report_xml.py`)
"""
