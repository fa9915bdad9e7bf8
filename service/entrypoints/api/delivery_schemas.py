"""A delivery as the API shows it."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.domain.delivery import Delivery, DeliveryState, ObjectState
from service.domain.destination import ObjectKind
from service.entrypoints.api.job_schemas import JOB_ID, MOMENT, FailureView

DELIVERY_ID = "9b2d6c1f0e3a4b5c8d7e6f5a4b3c2d1e"
DELIVERY_EXAMPLE: dict[str, Any] = {
    "delivery_id": DELIVERY_ID,
    "job_id": JOB_ID,
    "destination": "pacs",
    "state": "PENDING",
    "attempts": 2,
    "begun_at": MOMENT,
    "due_at": MOMENT,
    "finished_at": None,
    "failure": {
        "code": "OBJECTS_REFUSED",
        "message": "not taken: segmentation: presentation context refused",
        "fixed_by": "operator of the destination",
    },
    "objects": [
        {
            "kind": "segmentation",
            "state": "REFUSED",
            "sop_instance_uid": "2.25.123",
            "status": "presentation context refused",
        }
    ],
    "steps": [
        {"before": None, "after": "PENDING", "at": MOMENT, "reason": "the analysis succeeded"}
    ],
    "links": {
        "job": f"/jobs/{JOB_ID}",
        "resend": f"/jobs/{JOB_ID}/deliveries/{DELIVERY_ID}/resend",
    },
}


class ObjectView(BaseModel):
    """What the receiver said about one object."""

    kind: ObjectKind
    state: ObjectState
    sop_instance_uid: str | None = Field(description="Known from the first attempt on.")
    status: str | None = Field(description="The answer, in the words of the protocol.")


class DeliveryStepView(BaseModel):
    """One change of state."""

    before: DeliveryState | None
    after: DeliveryState
    at: datetime
    reason: str


class DeliveryView(BaseModel):
    """A delivery as it is at this moment.

    SENT: the receiver took every object and was not asked for more. DELIVERED: it also said
    afterwards that it holds them.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [DELIVERY_EXAMPLE]})

    delivery_id: str
    job_id: str
    destination: str = Field(description="Name in the file of destinations.")
    state: DeliveryState
    attempts: int = Field(description="Attempts since begun_at.")
    begun_at: datetime = Field(description="When the job ended, or when it was asked for again.")
    due_at: datetime = Field(description="When the next attempt may begin.")
    finished_at: datetime | None
    failure: FailureView | None = Field(description="Why the last attempt failed.")
    objects: list[ObjectView]
    steps: list[DeliveryStepView]
    links: dict[str, str]

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """Show a delivery."""
        failure = delivery.failure
        base = f"/jobs/{delivery.job_id}"
        return cls(
            delivery_id=delivery.delivery_id,
            job_id=delivery.job_id,
            destination=delivery.destination,
            state=delivery.state,
            attempts=delivery.attempts,
            begun_at=delivery.begun_at,
            due_at=delivery.due_at,
            finished_at=delivery.finished_at,
            failure=FailureView.model_validate(failure, from_attributes=True) if failure else None,
            objects=[
                ObjectView.model_validate(each, from_attributes=True) for each in delivery.objects
            ],
            steps=[
                DeliveryStepView.model_validate(step, from_attributes=True)
                for step in delivery.steps
            ],
            links={"job": base, "resend": f"{base}/deliveries/{delivery.delivery_id}/resend"},
        )


class DeliveryList(BaseModel):
    """The deliveries of a job, by name of destination."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deliveries": [DELIVERY_EXAMPLE]}]})

    deliveries: list[DeliveryView]
