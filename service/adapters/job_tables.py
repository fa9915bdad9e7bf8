"""Tables of the job database; ``migrations`` brings them about."""

from datetime import UTC, datetime

import sqlalchemy as sa


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Moments in UTC; SQLite keeps none of the time zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        """Turn an aware moment into UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        """Return an aware moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease", sa.String(32)),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("results_lease", sa.String(32)),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("rung_at", UtcDateTime),
    sa.Column("stage", sa.String(32)),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("result", sa.String(32)),
    sa.Column("files", sa.JSON(none_as_null=True)),
    sa.Column("failure_code", sa.String(64)),
    sa.Column("failure_message", sa.Text),
    sa.Column("failure_fixed_by", sa.String(64)),
)

transitions = sa.Table(
    "job_transitions",
    metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("before", sa.String(16)),
    sa.Column("after", sa.String(16), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("lease", sa.String(32)),
)

stages = sa.Table(
    "job_stages",
    metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(32), nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("seconds", sa.Float),
)

arrivals = sa.Table(
    "arrivals",
    metadata,
    sa.Column("study_instance_uid", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("policy", sa.JSON, nullable=False),
    sa.Column("rounds", sa.Integer, nullable=False),
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="SET NULL")),
    sa.Column("instances", sa.Integer, nullable=False),
    sa.Column("new", sa.Integer, nullable=False, index=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False, index=True),
)

arrived_instances = sa.Table(
    "arrived_instances",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column(
        "study_instance_uid",
        sa.ForeignKey("arrivals.study_instance_uid", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("series_instance_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False, index=True),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("receipt", sa.String(16), nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("copies", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer),
    sa.UniqueConstraint(
        "study_instance_uid", "sop_instance_uid", name="uq_arrived_instances_study_sop"
    ),
)

job_arrivals = sa.Table(
    "job_arrivals",
    metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
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

refused_instances = sa.Table(
    "refused_instances",
    metadata,
    sa.Column("source", sa.String(64), primary_key=True),
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("instances", sa.Integer, nullable=False),
)

canaries = sa.Table(
    "canaries",
    metadata,
    sa.Column("canary_id", sa.String(32), primary_key=True),
    sa.Column("asked_at", UtcDateTime, nullable=False),
    sa.Column("answered_at", UtcDateTime),
    sa.Column("execution_provider", sa.String(64)),
    sa.Column("failure_code", sa.String(64)),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("delivery_id", sa.String(32), primary_key=True),
    sa.Column(
        "job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease", sa.String(32)),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("failure_code", sa.String(64)),
    sa.Column("failure_message", sa.Text),
    sa.Column("failure_fixed_by", sa.String(64)),
    sa.Index("ix_deliveries_destination_state", "destination", "state"),
)

delivery_objects = sa.Table(
    "delivery_objects",
    metadata,
    sa.Column(
        "delivery_id",
        sa.ForeignKey("deliveries.delivery_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64)),
    sa.Column("status", sa.Text),
)

delivery_steps = sa.Table(
    "delivery_steps",
    metadata,
    sa.Column(
        "delivery_id",
        sa.ForeignKey("deliveries.delivery_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("before", sa.String(16)),
    sa.Column("after", sa.String(16), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
