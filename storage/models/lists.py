"""Indexes for lists: each begins with the list's parent and continues with its sort order."""

from sqlalchemy import Index

from storage.models.delivery import Build, Deployment, Operation
from storage.models.planning import Feature, Organization, Project, Requirement
from storage.models.quality import TestCase, TestResult
from storage.models.vulnerabilities import Vulnerability

LISTS = (
    (Organization, "created_at"),
    (Organization, "updated_at"),
    (Organization, "name"),
    (Project, "organization_id", "created_at"),
    (Project, "organization_id", "updated_at"),
    (Project, "organization_id", "name"),
    (Requirement, "project_id", "created_at"),
    (Requirement, "project_id", "updated_at"),
    (Requirement, "project_id", "title"),
    (Feature, "requirement_id", "created_at"),
    (Feature, "requirement_id", "updated_at"),
    (Feature, "requirement_id", "name"),
    (TestCase, "feature_id", "created_at"),
    (TestCase, "feature_id", "updated_at"),
    (TestCase, "feature_id", "name"),
    (TestResult, "test_case_id", "created_at"),
    (Build, "feature_id", "created_at"),
    (Deployment, "project_id", "created_at"),
    (Deployment, "project_id", "status", "created_at"),
    (Deployment, "project_id", "environment", "created_at"),
    (Deployment, "build_id", "created_at"),
    (Operation, "created_at"),
    (Operation, "organization_id", "created_at"),
    (Operation, "organization_id", "status", "created_at"),
    (Operation, "project_id", "created_at"),
    (Vulnerability, "project_id", "severity_rank"),
    (Vulnerability, "project_id", "created_at"),
    (Vulnerability, "project_id", "last_seen_at"),
)

INDEXES = tuple(
    Index(
        f"ix_{model.__tablename__}_{'_'.join(columns)}_id",
        *(model.__table__.c[column] for column in (*columns, "id")),
    )
    for model, *columns in LISTS
)
