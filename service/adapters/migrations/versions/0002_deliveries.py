"""Deliveries: the outbox, what became of every object, and every change of state."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_deliveries()
    op.create_table(
        "delivery_objects",
        _delivery(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64)),
        sa.Column("status", sa.Text),
    )
    op.create_table(
        "delivery_steps",
        _delivery(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("before", sa.String(16)),
        sa.Column("after", sa.String(16), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.String(32), primary_key=True),
        sa.Column(
            "job_id",
            sa.String(32),
            sa.ForeignKey("jobs.job_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("lease_expires_at", MOMENT),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.Column("failure_code", sa.String(64)),
        sa.Column("failure_message", sa.Text),
        sa.Column("failure_fixed_by", sa.String(64)),
    )
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    op.create_index("ix_deliveries_destination_state", "deliveries", ["destination", "state"])


def _delivery() -> sa.Column[str]:
    return sa.Column(
        "delivery_id",
        sa.String(32),
        sa.ForeignKey("deliveries.delivery_id", ondelete="CASCADE"),
        primary_key=True,
    )


def downgrade() -> None:
    for table in ("delivery_steps", "delivery_objects", "deliveries"):
        op.drop_table(table)
