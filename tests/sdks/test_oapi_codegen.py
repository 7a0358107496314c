"""The document reads well for a generator that names what has no name."""

import pytest

from sdks.generate import check_oapi_codegen
from sdks.generate.languages import ToolchainMissingError, program


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_all_operations_in_few_lines_and_no_type_without_a_name(capsys):
    try:
        program("go", "install Go 1.24 or newer")
    except ToolchainMissingError as error:
        pytest.skip(f"NOT SEEN: oapi-codegen reads no docs/openapi.json: {error}")
    code = check_oapi_codegen.main()
    told = capsys.readouterr().out
    assert code == 0, told
