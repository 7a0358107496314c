"""The schema, in one. Numbers up to 0038 made it step by step, 0031 the last of them: a database there is the same."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0031"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.func.now()

ENTRIES_STAY_FUNCTION = """
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit_log is append-only';
        END $$
"""

ENTRIES_STAY = """
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
"""

# The text that is hashed. Columns that a later version adds stay outside of it, or old links would break.
TEXT = """
CREATE FUNCTION audit_log_text(entry audit_log) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'id', entry.id,
        'organization_id', entry.organization_id,
        'occurred_at', to_char(entry.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', entry.actor,
        'credential', entry.credential,
        'address', entry.address,
        'action', entry.action,
        'resource_type', entry.resource_type,
        'resource_id', entry.resource_id,
        'reason', entry.reason,
        'request_id', entry.request_id,
        'changes', entry.changes,
        'details', entry.details
    )::text
$$
"""

# One statement that locks the chain's head, or makes it: who commits at the same moment waits here, and then sees the
# new head. The first link follows 32 bytes of zero.
LINK = """
CREATE FUNCTION audit_log_link(entry audit_log) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    here uuid := coalesce(entry.organization_id, '00000000-0000-0000-0000-000000000000');
    words bytea := convert_to(audit_log_text(entry), 'UTF8');
    head audit_chains;
BEGIN
    INSERT INTO audit_chains (chain, sequence, hash)
    VALUES (here, 1, sha256(decode(repeat('00', 32), 'hex') || words))
    ON CONFLICT (chain) DO UPDATE
    SET sequence = audit_chains.sequence + 1, hash = sha256(audit_chains.hash || words)
    RETURNING * INTO head;
    INSERT INTO audit_links (entry_id, chain, sequence, hash) VALUES (entry.id, here, head.sequence, head.hash);
END $$
"""

CHAIN = """
CREATE FUNCTION audit_log_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM audit_log_link(NEW);
    RETURN NULL;
END $$
"""

# Deferred: the head is locked while the transaction commits, not while it works.
CHAINED = """
CREATE CONSTRAINT TRIGGER audit_log_chained AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION audit_log_chain()
"""

KEPT = """
CREATE FUNCTION audit_chain_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$
"""

LINKS_STAY = """
CREATE TRIGGER audit_links_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_links
FOR EACH STATEMENT EXECUTE FUNCTION audit_chain_is_kept()
"""

HEADS_STAY = """
CREATE TRIGGER audit_chains_stay BEFORE DELETE OR TRUNCATE ON audit_chains
FOR EACH STATEMENT EXECUTE FUNCTION audit_chain_is_kept()
"""

HEADS_GROW = """
CREATE TRIGGER audit_chains_grow BEFORE UPDATE ON audit_chains
FOR EACH ROW WHEN (NEW.chain <> OLD.chain OR NEW.sequence <> OLD.sequence + 1)
EXECUTE FUNCTION audit_chain_is_kept()
"""

AUDIT = (TEXT, LINK, CHAIN, CHAINED, KEPT, LINKS_STAY, HEADS_STAY, HEADS_GROW, ENTRIES_STAY_FUNCTION, ENTRIES_STAY)


def upgrade() -> None:
    _people()
    _credentials()
    _plans()
    _deliveries()
    _tests()
    _events()
    _audit()


def _people() -> None:
    """Organizations, and who belongs to them."""
    op.create_table(
        "organizations",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("slug", sa.String(255), nullable=False, unique=True),
        sa.Column("host_label", sa.String(63), nullable=False, unique=True),
        sa.Column("type", sa.String(32)),
        sa.Column("description", sa.Text),
        sa.Column("website_url", sa.String(2048)),
        sa.Column("plan", sa.String(32), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("max_users", sa.Integer, nullable=False),
        sa.Column("max_projects", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("requests_per_hour", sa.Integer),
        sa.Column("requests_per_day", sa.Integer),
        sa.Column("created_by", sa.String(255)),
    )
    op.create_index("ix_organizations_created_at_id", "organizations", ["created_at", "id"])
    op.create_index("ix_organizations_created_by", "organizations", ["created_by"])
    op.create_index("ix_organizations_name_id", "organizations", ["name", "id"])
    op.create_index("ix_organizations_updated_at_id", "organizations", ["updated_at", "id"])
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("is_platform_admin", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("disabled_at", TIME),
        sa.Column("last_login_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("email_verified_at", TIME),
    )
    op.create_index("ix_users_email", "users", ["email"])
    op.create_index(
        "uq_users_email_proven",
        "users",
        ["email"],
        unique=True,
        postgresql_where=sa.text("email_verified_at IS NOT NULL"),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.UniqueConstraint("organization_id", "user_id"),
    )
    op.create_index(
        "ix_memberships_organization_id_created_at_id", "memberships", ["organization_id", "created_at", "id"]
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("invited_by", sa.String(255), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("accepted_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("proves", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_invitations_organization_id_created_at_id", "invitations", ["organization_id", "created_at", "id"]
    )
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("sealed_text", sa.LargeBinary),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.String(500)),
        sa.Column("due_at", TIME, nullable=False, server_default=NOW),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_mails_created_at", "mails", ["created_at"])
    op.create_index("ix_mails_due", "mails", ["due_at"], postgresql_where=sa.text("status = 'pending'"))
    op.create_index("ix_mails_organization_id_created_at", "mails", ["organization_id", "created_at"])
    op.create_index("ix_mails_recipient_created_at", "mails", ["recipient", "created_at"])
    op.create_table(
        "outside_people",
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("mailbox", sa.String(320), primary_key=True),
        sa.Column("seen_at", TIME, nullable=False, server_default=NOW),
    )


def _credentials() -> None:
    """What requests are authenticated and counted by."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("creator_kind", sa.String(16), nullable=False),
        sa.Column("creator_id", sa.Uuid),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME),
        sa.Column("last_used_address", sa.String(64)),
        sa.Column("revoked_at", TIME),
        sa.Column("replaces", sa.Uuid, sa.ForeignKey("api_keys.id")),
        sa.Column("overlap_ends_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_api_keys_organization_id_created_at_id", "api_keys", ["organization_id", "created_at", "id"])
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("secret_hash", sa.String(64)),
        sa.Column("role", sa.String(32)),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("redirect_uris", JSONB, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("disabled_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("secret_by", sa.String(255)),
        sa.Column("secret_holders", JSONB, nullable=False, server_default=sa.text("'[]'")),
    )
    op.create_index("ix_clients_organization_id_created_at_id", "clients", ["organization_id", "created_at", "id"])
    op.create_table(
        "login_sessions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("expires_at", TIME, nullable=False),
    )
    op.create_index("ix_login_sessions_expires_at", "login_sessions", ["expires_at"])
    op.create_index("ix_login_sessions_user_id", "login_sessions", ["user_id"])
    op.create_table(
        "oauth_grants",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("client_id", sa.Uuid, sa.ForeignKey("clients.id"), nullable=False),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("redirect_uri", sa.String(2048), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("code_challenge", sa.String(128), nullable=False),
        sa.Column("code_used_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
    )
    op.create_index("ix_oauth_grants_client_id", "oauth_grants", ["client_id"])
    op.create_index("ix_oauth_grants_expires_at", "oauth_grants", ["expires_at"])
    op.create_index("ix_oauth_grants_user_id", "oauth_grants", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("grant_id", sa.Uuid, sa.ForeignKey("oauth_grants.id", ondelete="CASCADE"), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("used_at", TIME),
    )
    op.create_index("ix_refresh_tokens_grant_id", "refresh_tokens", ["grant_id"])
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kid", sa.String(64), nullable=False, unique=True),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("activated_at", TIME),
        sa.Column("retired_at", TIME),
    )
    op.create_index(
        "uq_signing_keys_state",
        "signing_keys",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state IN ('next', 'active')"),
    )
    op.create_table(
        "revocations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("organization_id", sa.Uuid),
        sa.Column("issued_before", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("expires_at", TIME, nullable=False),
    )
    op.create_index("ix_revocations_created_at", "revocations", ["created_at"])
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])
    op.create_table(
        "attempts",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("blocked_until", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
    )
    op.create_index("ix_attempts_expires_at", "attempts", ["expires_at"])
    op.create_table(
        "idempotency_keys",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("principal", sa.String(255), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("path", sa.String(2048), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])


def _plans() -> None:
    """Projects, and what is planned in them."""
    op.create_table(
        "projects",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("slug", sa.String(255), nullable=False),
        sa.Column("host_label", sa.String(63), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("repository_url", sa.String(2048), nullable=False),
        sa.Column("repository_type", sa.String(16), nullable=False),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("template_type", sa.String(32)),
        sa.Column("tech_stack", JSONB, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("owner_id", sa.String(255)),
        sa.Column("last_build_number", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("source_path", sa.String(512), nullable=False, server_default="."),
        sa.UniqueConstraint("organization_id", "host_label"),
    )
    op.create_index("ix_projects_organization_id", "projects", ["organization_id"])
    op.create_index("ix_projects_organization_id_created_at_id", "projects", ["organization_id", "created_at", "id"])
    op.create_index("ix_projects_organization_id_name_id", "projects", ["organization_id", "name", "id"])
    op.create_index("ix_projects_organization_id_updated_at_id", "projects", ["organization_id", "updated_at", "id"])
    op.create_index(
        "uq_projects_organization_id_slug_live",
        "projects",
        ["organization_id", "slug"],
        unique=True,
        postgresql_where=sa.text("status <> 'deleted'"),
    )
    op.create_table(
        "secrets",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("environment", sa.String(16)),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("sealed_value", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("host", sa.String(300)),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.UniqueConstraint("project_id", "name", "environment", postgresql_nulls_not_distinct=True),
    )
    op.create_index("ix_secrets_organization_id", "secrets", ["organization_id"])
    op.create_index("ix_secrets_project_id_created_at_id", "secrets", ["project_id", "created_at", "id"])
    op.create_index(
        "uq_secrets_project_id_kind_single",
        "secrets",
        ["project_id", "kind"],
        unique=True,
        postgresql_where=sa.text("kind IN ('git_https_token', 'git_ssh_key', 'ssh_known_hosts')"),
    )
    op.create_table(
        "requirements",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("user_stories", JSONB, nullable=False),
        sa.Column("acceptance_criteria", JSONB, nullable=False),
        sa.Column("priority", sa.String(16)),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("estimated_effort_points", sa.Integer),
        sa.Column("tags", JSONB, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_requirements_organization_id", "requirements", ["organization_id"])
    op.create_index("ix_requirements_project_id", "requirements", ["project_id"])
    op.create_index("ix_requirements_project_id_created_at_id", "requirements", ["project_id", "created_at", "id"])
    op.create_index("ix_requirements_project_id_title_id", "requirements", ["project_id", "title", "id"])
    op.create_index("ix_requirements_project_id_updated_at_id", "requirements", ["project_id", "updated_at", "id"])
    op.create_table(
        "features",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("requirement_id", sa.Uuid, sa.ForeignKey("requirements.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("implementation_notes", sa.Text),
        sa.Column("implementation_status", sa.String(16), nullable=False),
        sa.Column("blocked_reason", sa.Text),
        sa.Column("complexity_points", sa.Integer),
        sa.Column("developer_id", sa.Uuid),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_features_organization_id", "features", ["organization_id"])
    op.create_index("ix_features_project_id", "features", ["project_id"])
    op.create_index("ix_features_requirement_id", "features", ["requirement_id"])
    op.create_index("ix_features_requirement_id_created_at_id", "features", ["requirement_id", "created_at", "id"])
    op.create_index("ix_features_requirement_id_name_id", "features", ["requirement_id", "name", "id"])
    op.create_index("ix_features_requirement_id_updated_at_id", "features", ["requirement_id", "updated_at", "id"])


def _deliveries() -> None:
    """What is built and where it runs."""
    op.create_table(
        "environments",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("host", sa.String(255), nullable=False, unique=True),
        sa.Column("settings", JSONB, nullable=False),
        sa.Column("current_release_id", sa.Uuid),
        sa.Column("previous_release_id", sa.Uuid),
        sa.Column("holder_deployment_id", sa.Uuid),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("degraded_release_id", sa.Uuid),
        sa.UniqueConstraint("project_id", "name"),
    )
    op.create_index("ix_environments_organization_id", "environments", ["organization_id"])
    op.create_table(
        "guard_changes",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("environment_id", sa.Uuid, sa.ForeignKey("environments.id"), nullable=False),
        sa.Column("changes", JSONB, nullable=False),
        sa.Column("weakens", JSONB, nullable=False),
        sa.Column("rule", JSONB, nullable=False),
        sa.Column("requester", JSONB, nullable=False),
        sa.Column("approvals", JSONB, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(255), nullable=False),
        sa.Column("decided_by", sa.String(255)),
        sa.Column("decided_at", TIME),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index(
        "ix_guard_changes_environment_id_created_at_id", "guard_changes", ["environment_id", "created_at", "id"]
    )
    op.create_index("ix_guard_changes_organization_id", "guard_changes", ["organization_id"])
    op.create_table(
        "operations",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("resource_type", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("progress_percent", sa.Integer, nullable=False),
        sa.Column("current_step", sa.Text),
        sa.Column("steps", JSONB, nullable=False),
        sa.Column("error", JSONB),
        sa.Column("input", JSONB, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("requested_by", sa.String(255), nullable=False),
        sa.Column("workflow_started_at", TIME),
        sa.Column("cancel_requested_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("completed_at", TIME),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("environment", sa.String(16)),
        sa.Column("workflow_run_id", sa.Uuid),
    )
    op.create_index("ix_operations_created_at_id", "operations", ["created_at", "id"])
    op.create_index(
        "ix_operations_learned",
        "operations",
        ["project_id", "environment", "kind", "completed_at"],
        postgresql_where=sa.text("status = 'completed'"),
    )
    op.create_index("ix_operations_open", "operations", ["status"], postgresql_where=sa.text("completed_at IS NULL"))
    op.create_index(
        "ix_operations_organization_id_created_at_id", "operations", ["organization_id", "created_at", "id"]
    )
    op.create_index("ix_operations_organization_id_id", "operations", ["organization_id", "id"])
    op.create_index(
        "ix_operations_organization_id_status_created_at_id",
        "operations",
        ["organization_id", "status", "created_at", "id"],
    )
    op.create_index("ix_operations_project_id", "operations", ["project_id"])
    op.create_index("ix_operations_project_id_created_at_id", "operations", ["project_id", "created_at", "id"])
    op.create_table(
        "builds",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("feature_id", sa.Uuid, sa.ForeignKey("features.id"), nullable=False),
        sa.Column("operation_id", sa.Uuid, unique=True),
        sa.Column("provenance", sa.String(16), nullable=False),
        sa.Column("build_number", sa.Integer, nullable=False),
        sa.Column("version_tag", sa.String(255), nullable=False),
        sa.Column("git_commit_hash", sa.String(64), nullable=False),
        sa.Column("git_branch", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("docker_image_url", sa.String(2048)),
        sa.Column("docker_image_size_bytes", sa.BigInteger),
        sa.Column("artifact_digest", sa.String(128)),
        sa.Column("artifact_size_bytes", sa.BigInteger),
        sa.Column("spec", JSONB),
        sa.Column("tests_passed", sa.Integer),
        sa.Column("tests_failed", sa.Integer),
        sa.Column("tests_skipped", sa.Integer),
        sa.Column("code_coverage_percent", sa.Double),
        sa.Column("security_scan_status", sa.String(16)),
        sa.Column("vulnerabilities", JSONB),
        sa.Column("started_at", TIME),
        sa.Column("completed_at", TIME),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.UniqueConstraint("project_id", "build_number"),
    )
    op.create_index("ix_builds_feature_id", "builds", ["feature_id"])
    op.create_index("ix_builds_feature_id_created_at_id", "builds", ["feature_id", "created_at", "id"])
    op.create_index("ix_builds_organization_id", "builds", ["organization_id"])
    op.create_index(
        "uq_builds_project_id_version_tag_good",
        "builds",
        ["project_id", "version_tag"],
        unique=True,
        postgresql_where=sa.text("status NOT IN ('failed', 'cancelled')"),
    )
    op.create_table(
        "deployments",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("environment_id", sa.Uuid, sa.ForeignKey("environments.id"), nullable=False),
        sa.Column("feature_id", sa.Uuid, sa.ForeignKey("features.id")),
        sa.Column("build_id", sa.Uuid, sa.ForeignKey("builds.id")),
        sa.Column("operation_id", sa.Uuid, sa.ForeignKey("operations.id"), nullable=False),
        sa.Column("environment", sa.String(16), nullable=False),
        sa.Column("deployment_strategy", sa.String(16), nullable=False),
        sa.Column("canary_percentage", sa.Integer),
        sa.Column("approval_notes", sa.Text),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("health_check_status", sa.String(16)),
        sa.Column("error_rate_percent", sa.Double),
        sa.Column("performance_metrics", JSONB),
        sa.Column("analysis", JSONB),
        sa.Column("error", JSONB),
        sa.Column("retry_of", sa.Uuid),
        sa.Column("requested_by", sa.String(255), nullable=False),
        sa.Column("rollback_operation_id", sa.Uuid),
        sa.Column("rollback_reason", sa.Text),
        sa.Column("rolled_back_to_build_id", sa.Uuid),
        sa.Column("rolled_back_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("completed_at", TIME),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("skip_analysis", sa.Boolean, nullable=False),
        sa.Column("override_freeze", sa.Boolean, nullable=False),
        sa.Column("superseded_by", sa.Uuid),
        sa.Column("next_open", TIME),
        sa.Column("request_approval", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("version_tag", sa.String(255)),
        sa.Column("git_branch", sa.String(255)),
        sa.Column("git_commit_hash", sa.String(64)),
    )
    op.create_index("ix_deployments_build_id", "deployments", ["build_id"])
    op.create_index("ix_deployments_build_id_created_at_id", "deployments", ["build_id", "created_at", "id"])
    op.create_index("ix_deployments_environment_id", "deployments", ["environment_id"])
    op.create_index("ix_deployments_feature_id", "deployments", ["feature_id"])
    op.create_index("ix_deployments_operation_id", "deployments", ["operation_id"])
    op.create_index("ix_deployments_organization_id", "deployments", ["organization_id"])
    op.create_index("ix_deployments_project_id", "deployments", ["project_id"])
    op.create_index("ix_deployments_project_id_created_at_id", "deployments", ["project_id", "created_at", "id"])
    op.create_index(
        "ix_deployments_project_id_environment_created_at_id",
        "deployments",
        ["project_id", "environment", "created_at", "id"],
    )
    op.create_index(
        "ix_deployments_project_id_status_created_at_id", "deployments", ["project_id", "status", "created_at", "id"]
    )
    op.create_table(
        "analyses",
        sa.Column("deployment_id", sa.Uuid, sa.ForeignKey("deployments.id"), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("state", JSONB, nullable=False),
        sa.Column("judgement", JSONB, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_table(
        "releases",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("environment_id", sa.Uuid, sa.ForeignKey("environments.id"), nullable=False),
        sa.Column("deployment_id", sa.Uuid, sa.ForeignKey("deployments.id"), nullable=False),
        sa.Column("build_id", sa.Uuid, sa.ForeignKey("builds.id"), nullable=False),
        sa.Column("artifact_digest", sa.String(128), nullable=False),
        sa.Column("service", JSONB, nullable=False),
        sa.Column("replicas", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("was_healthy", sa.Boolean, nullable=False),
        sa.Column("stop_after", TIME),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("promoted_at", TIME),
        sa.Column("preview_token", sa.String(64)),
        sa.Column("secrets", JSONB, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("processes", JSONB, nullable=False, server_default=sa.text("'{}'")),
    )
    op.create_index("ix_releases_deployment_id", "releases", ["deployment_id"])
    op.create_index("ix_releases_environment_id", "releases", ["environment_id"])
    op.create_index("ix_releases_environment_id_promoted_at", "releases", ["environment_id", "promoted_at"])
    op.create_index("ix_releases_organization_id", "releases", ["organization_id"])
    op.create_index("ix_releases_state", "releases", ["state"])
    op.create_table(
        "instances",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("release_id", sa.Uuid, sa.ForeignKey("releases.id"), nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("in_rotation", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("closes_idle", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("type", sa.String(63), nullable=False, server_default="web"),
        sa.UniqueConstraint("release_id", "type", "index"),
    )
    op.create_index("ix_instances_release_id", "instances", ["release_id"])
    op.create_table(
        "routes",
        sa.Column("environment_id", sa.Uuid, sa.ForeignKey("environments.id"), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False, unique=True),
        sa.Column("targets", JSONB, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("sticky", JSONB),
    )
    op.create_table(
        "routing_generation",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )


def _tests() -> None:
    """Test cases and their results."""
    op.create_table(
        "test_cases",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("feature_id", sa.Uuid, sa.ForeignKey("features.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("test_type", sa.String(16)),
        sa.Column("priority", sa.String(16)),
        sa.Column("steps", JSONB, nullable=False),
        sa.Column("expected_result", sa.Text, nullable=False),
        sa.Column("automated", sa.Boolean, nullable=False),
        sa.Column("automation_tool", sa.String(255)),
        sa.Column("automation_script_path", sa.String(2048)),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_test_cases_feature_id_created_at_id", "test_cases", ["feature_id", "created_at", "id"])
    op.create_index("ix_test_cases_feature_id_name_id", "test_cases", ["feature_id", "name", "id"])
    op.create_index("ix_test_cases_feature_id_updated_at_id", "test_cases", ["feature_id", "updated_at", "id"])
    op.create_index("ix_test_cases_organization_id", "test_cases", ["organization_id"])
    op.create_index("ix_test_cases_project_id", "test_cases", ["project_id"])
    op.create_table(
        "test_results",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("test_case_id", sa.Uuid, sa.ForeignKey("test_cases.id", ondelete="CASCADE"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("error_message", sa.Text),
        sa.Column("assertions_run", sa.Integer, nullable=False),
        sa.Column("assertions_passed", sa.Integer, nullable=False),
        sa.Column("assertions_failed", sa.Integer, nullable=False),
        sa.Column("code_coverage_percent", sa.Double),
        sa.Column("logs", sa.JSON, nullable=False),
        sa.Column("recorded_by", sa.String(255), nullable=False),
        sa.Column("executed_at", TIME, nullable=False, server_default=NOW),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("ix_test_results_organization_id", "test_results", ["organization_id"])
    op.create_index("ix_test_results_test_case_id_created_at_id", "test_results", ["test_case_id", "created_at", "id"])


def _events() -> None:
    """The outbox, events, and their way to webhooks."""
    op.create_table(
        "outbox",
        sa.Column("organization_id", sa.Uuid),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("due_at", TIME, nullable=False, server_default=NOW),
        sa.Column("done_at", TIME),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
        sa.Column("outcome", JSONB),
    )
    op.create_index("ix_outbox_done", "outbox", ["done_at"], postgresql_where=sa.text("done_at IS NOT NULL"))
    op.create_index("ix_outbox_due", "outbox", ["due_at"], postgresql_where=sa.text("done_at IS NULL"))
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("resource_type", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("occurred_at", TIME, nullable=False, server_default=NOW),
        sa.Column("fanned_out_at", TIME),
    )
    op.create_index("ix_events_occurred_at", "events", ["occurred_at"])
    op.create_index("ix_events_organization_id_sequence", "events", ["organization_id", "sequence"])
    op.create_index(
        "ix_events_sequence_waiting", "events", ["sequence"], postgresql_where=sa.text("fanned_out_at IS NULL")
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id")),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("events", JSONB, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret", sa.LargeBinary),
        sa.Column("previous_secret_until", TIME),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("disabled_reason", sa.String(32)),
        sa.Column("disabled_at", TIME),
        sa.Column("first_failure_at", TIME),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index(
        "ix_webhook_endpoints_organization_id_created_at_id",
        "webhook_endpoints",
        ["organization_id", "created_at", "id"],
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event_id", sa.Uuid, sa.ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("ordered", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", TIME),
        sa.Column("locked_until", TIME),
        sa.Column("workflow_started_at", TIME),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.String(500)),
        sa.Column("completed_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index(
        "ix_webhook_deliveries_asked",
        "webhook_deliveries",
        ["organization_id"],
        postgresql_where=sa.text("status IN ('pending', 'failed') AND trigger <> 'event'"),
    )
    op.create_index(
        "ix_webhook_deliveries_endpoint_id_created_at_id", "webhook_deliveries", ["endpoint_id", "created_at", "id"]
    )
    op.create_index("ix_webhook_deliveries_event_id", "webhook_deliveries", ["event_id"])
    op.create_index(
        "ix_webhook_deliveries_failed",
        "webhook_deliveries",
        ["next_attempt_at"],
        postgresql_where=sa.text("status = 'failed'"),
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["endpoint_id", "sequence"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_unfinished",
        "webhook_deliveries",
        ["endpoint_id", "resource_id", "sequence"],
        postgresql_where=sa.text("ordered AND status IN ('pending', 'failed')"),
    )
    op.create_index(
        "uq_webhook_deliveries_event_id_endpoint_id",
        "webhook_deliveries",
        ["event_id", "endpoint_id"],
        unique=True,
        postgresql_where=sa.text("trigger = 'event'"),
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.Uuid, sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("request_headers", JSONB, nullable=False),
        sa.Column("response_status", sa.Integer),
        sa.Column("response_headers", JSONB),
        sa.Column("response_body", sa.Text),
        sa.Column("error", sa.String(500)),
    )


def _audit() -> None:
    """The audit log, chained by hashes."""
    op.create_table(
        "audit_log",
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("occurred_at", TIME, nullable=False, server_default=NOW),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("resource_type", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.Uuid),
        sa.Column("reason", sa.Text),
        sa.Column("request_id", sa.String(255)),
        sa.Column("details", JSONB, nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("credential", sa.String(255)),
        sa.Column("address", sa.String(64)),
        sa.Column("changes", JSONB, nullable=False),
    )
    op.create_index(
        "ix_audit_log_organization_id_occurred_at_id", "audit_log", ["organization_id", "occurred_at", "id"]
    )
    op.create_index("ix_audit_log_resource_id", "audit_log", ["resource_id"])
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.Uuid, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_links",
        sa.Column("entry_id", sa.Uuid, sa.ForeignKey("audit_log.id"), primary_key=True),
        sa.Column("chain", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("chain", "sequence"),
    )
    for statement in AUDIT:
        op.execute(statement)
