import errno

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import MAX_UNEXPECTED, translate_errors
from contracts.payload import Nothing


class Broken:
    def __init__(self, error):
        self._error = error

    @translate_errors
    async def run(self, request: Nothing) -> Nothing:
        raise self._error


async def fault_of(error, attempt=1):
    environment = ActivityEnvironment()
    environment.info = type(environment.info)(**{**vars(environment.info), "attempt": attempt})
    with pytest.raises(ApplicationError) as found:
        await environment.run(Broken(error).run, Nothing())
    return found.value


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_named_and_not_tried_again(number):
    fault = await fault_of(OSError(number, "no space"))
    assert (fault.type, fault.non_retryable) == ("DISK_FULL", True)


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), ValueError("odd")])
async def test_an_unknown_fault_is_tried_a_few_times_only(error):
    assert not (await fault_of(error)).non_retryable
    last = await fault_of(error, MAX_UNEXPECTED)
    assert (last.type, last.non_retryable) == ("INTERNAL_ERROR", True)
