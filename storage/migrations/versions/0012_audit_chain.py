"""The audit log says from where and what changed, and is chained by hashes; environments know a degraded release."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

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

CHAIN_THE_OLD = """
DO $$
DECLARE
    entry audit_log;
BEGIN
    FOR entry IN SELECT * FROM audit_log ORDER BY occurred_at, id LOOP
        PERFORM audit_log_link(entry);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.add_column("environments", sa.Column("degraded_release_id", sa.Uuid()))
    op.add_column("audit_log", sa.Column("credential", sa.String(255)))
    op.add_column("audit_log", sa.Column("address", sa.String(64)))
    op.add_column("audit_log", sa.Column("changes", JSONB(), nullable=False, server_default=sa.text("'{}'")))
    op.alter_column("audit_log", "changes", server_default=None)
    op.alter_column("audit_log", "organization_id", nullable=True)
    op.alter_column("audit_log", "resource_id", nullable=True)
    op.create_index(
        "ix_audit_log_organization_id_occurred_at_id", "audit_log", ["organization_id", "occurred_at", "id"]
    )
    op.drop_index("ix_audit_log_organization_id_id", table_name="audit_log")
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.Uuid(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "audit_links",
        sa.Column("entry_id", sa.Uuid(), sa.ForeignKey("audit_log.id"), primary_key=True),
        sa.Column("chain", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("chain", "sequence"),
    )
    for statement in (TEXT, LINK, CHAIN, CHAINED, KEPT, LINKS_STAY, HEADS_STAY, HEADS_GROW, CHAIN_THE_OLD):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_log_chained ON audit_log")
    op.execute("DROP FUNCTION audit_log_chain(), audit_log_link(audit_log), audit_log_text(audit_log)")
    op.drop_table("audit_links")
    op.drop_table("audit_chains")
    op.execute("DROP FUNCTION audit_chain_is_kept()")
    op.create_index("ix_audit_log_organization_id_id", "audit_log", ["organization_id", "id"])
    op.drop_index("ix_audit_log_organization_id_occurred_at_id", table_name="audit_log")
    op.alter_column("audit_log", "resource_id", nullable=False)
    op.alter_column("audit_log", "organization_id", nullable=False)
    for column in ("changes", "address", "credential"):
        op.drop_column("audit_log", column)
    op.drop_column("environments", "degraded_release_id")
