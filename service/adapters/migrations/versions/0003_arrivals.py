"""Arrivals: what came of every study, what was refused, and how the study of a job arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_arrivals()
    _create_instances()
    _create_job_arrivals()
    op.create_table(
        "refused_instances",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("instances", sa.Integer, nullable=False),
    )


def _create_arrivals() -> None:
    op.create_table(
        "arrivals",
        sa.Column("study_instance_uid", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("rounds", sa.Integer, nullable=False),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.job_id", ondelete="SET NULL")),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.Column("new", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
    )
    op.create_index("ix_arrivals_new", "arrivals", ["new"])
    op.create_index("ix_arrivals_last_seen_at", "arrivals", ["last_seen_at"])


def _create_instances() -> None:
    op.create_table(
        "arrived_instances",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column(
            "study_instance_uid",
            sa.String(64),
            sa.ForeignKey("arrivals.study_instance_uid", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("receipt", sa.String(16), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer),
        sa.UniqueConstraint(
            "study_instance_uid", "sop_instance_uid", name="uq_arrived_instances_study_sop"
        ),
    )
    op.create_index(
        "ix_arrived_instances_sop_instance_uid", "arrived_instances", ["sop_instance_uid"]
    )


def _create_job_arrivals() -> None:
    op.create_table(
        "job_arrivals",
        sa.Column(
            "job_id",
            sa.String(32),
            sa.ForeignKey("jobs.job_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.Column("duplicates", sa.Integer, nullable=False),
        sa.Column("late", sa.Integer, nullable=False),
        sa.Column("supersedes", sa.String(32)),
        sa.Column("superseded_by", sa.String(32)),
    )


def downgrade() -> None:
    for table in ("refused_instances", "job_arrivals", "arrived_instances", "arrivals"):
        op.drop_table(table)
