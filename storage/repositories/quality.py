"""Test cases of a feature, and results of a test case."""

from uuid import UUID

from domain.errors import NotFoundError
from storage.models import TestCase, TestResult
from storage.repositories.base import Page, PageRequest, Repository


class CaseRepository(Repository[TestCase]):
    """Test cases by feature."""

    model = TestCase
    noun = "test case"

    async def search(
        self, feature_id: UUID, *, test_type: str | None, priority: str | None, text: str | None, request: PageRequest
    ) -> Page[TestCase]:
        """Test cases of a feature by type and priority, and by a part of their name."""
        statement = self.base().where(TestCase.feature_id == feature_id)
        if test_type is not None:
            statement = statement.where(TestCase.test_type == test_type)
        if priority is not None:
            statement = statement.where(TestCase.priority == priority)
        if text:
            statement = statement.where(TestCase.name.icontains(text, autoescape=True))
        return await self.page(statement, request)


class ResultRepository(Repository[TestResult]):
    """Results by test case."""

    model = TestResult
    noun = "test result"

    async def of_case(self, case_id: UUID, *, status: str | None, request: PageRequest) -> Page[TestResult]:
        """Results of a test case, by status."""
        statement = self.base().where(TestResult.test_case_id == case_id)
        if status is not None:
            statement = statement.where(TestResult.status == status)
        return await self.page(statement, request)

    async def get_of_case(self, case_id: UUID, result_id: UUID) -> TestResult:
        """One result of a test case.

        Raises:
            NotFoundError: it does not exist, or belongs to another test case, or not for this tenant.
        """
        row = await self.get(result_id)
        if row.test_case_id != case_id:
            raise NotFoundError(f"{self.noun} {result_id} does not exist")
        return row
