"""POST /segment, POST /classify, GET /models: what goes in, and every way it is refused."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import EnhancedSRStorage

from service.domain.geometry import Geometry
from service.domain.job import JobState
from service.domain.report import RESEARCH_USE_NOTICE
from service.domain.volume import Volume
from tests.api import ApiWorld
from tests.strategies import mr_series, uid, write_instances

BOUNDARY = b"limit"
MULTIPART = {"content-type": "multipart/form-data; boundary=limit"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("api")
    with ApiWorld(folder, max_upload_bytes=300_000, max_files=60) as world:
        yield world


def swi(tmp_path: Path, **attributes: object) -> list[Path]:
    """Write a small susceptibility series as DICOM files, with these attributes beside its own."""
    grid = Geometry.from_components(
        origin=(0, 0, 0), axes=np.eye(3)[::-1], spacing=(2, 1, 1), shape=(8, 16, 16)
    )
    voxels = np.arange(8 * 16 * 16).reshape(8, 16, 16)
    known: dict[str, Any] = {
        "SeriesInstanceUID": uid("swi"),
        "SeriesDescription": "SWI_Images",
        "Manufacturer": "SIEMENS",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "SWI", "NORM", "DIS2D"],
        "ScanningSequence": "GR",
        "SequenceName": "*swi3d1r",
        "MRAcquisitionType": "3D",
        "EchoTime": 20.0,
        "RepetitionTime": 28.0,
        "FlipAngle": 15.0,
        "PatientName": "DOE^JANE",
    }
    series = mr_series(Volume(voxels, grid), **(known | attributes))
    return write_instances(series, tmp_path / str(attributes.get("StudyInstanceUID", "swi")))


def zipped(paths: list[Path]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in paths:
            archive.write(path, f"DOE_JANE/{path.name}")
    return stream.getvalue()


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", ("DOE_JANE.dcm", content)) for content in contents]


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "fixed_by"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:thrombolens:problem:{code.lower().replace('_', '-')}"
    assert "DOE" not in answer.text


def test_many_files_become_one_queued_job(world: ApiWorld) -> None:
    answer = world.client.post("/segment", files=files(b"one", b"two"))
    assert answer.status_code == 202
    view = answer.json()
    assert answer.headers["location"] == f"/jobs/{view['job_id']}"
    assert (view["state"], view["model"]) == ("QUEUED", "net:1.0.0")
    upload = world.gateway.folders.upload(view["job_id"])
    assert [path.read_bytes() for path in sorted(upload.iterdir())] == [b"one", b"two"]
    assert world.gateway.database.get(view["job_id"]).state is JobState.QUEUED
    assert world.client.get(answer.headers["location"]).json() == view


def test_a_zip_is_unpacked_and_names_are_forgotten(world: ApiWorld, tmp_path: Path) -> None:
    paths = swi(tmp_path)
    answer = world.client.post("/segment", files=files(zipped(paths)), data={"model": "net:1.0.0"})
    upload = world.gateway.folders.upload(answer.json()["job_id"])
    assert len(list(upload.iterdir())) == len(paths)
    assert all(path.name.isdecimal() for path in upload.iterdir())


@pytest.mark.parametrize("media_type", ["application/zip", "application/octet-stream"])
def test_the_body_may_be_one_file(world: ApiWorld, media_type: str, tmp_path: Path) -> None:
    answer = world.client.post(
        "/segment?model=net",
        content=zipped(swi(tmp_path)),
        headers={"content-type": media_type},
    )
    assert answer.status_code == 202


def test_a_broker_that_is_down_does_not_lose_the_study(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, broker_url="redis://127.0.0.1:1/0") as world:
        answer = world.client.post("/segment", files=files(b"one"))
        assert answer.status_code == 202
        assert world.client.get(answer.headers["location"]).json()["state"] == "QUEUED"
        assert_problem(world.client.get("/health/ready"), 503, "BROKER_UNAVAILABLE")


def test_an_unknown_model_is_refused_and_nothing_is_kept(world: ApiWorld) -> None:
    answer = world.client.post("/segment", files=files(b"one"), data={"model": "nope"})
    assert_problem(answer, 422, "UNKNOWN_MODEL")
    assert "net:1.0.0" in answer.json()["detail"]
    assert world.left_over() == []


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    head = f"--limit\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    return head + content + b"\r\n"


WHOLE = part("files", b"x" * 50, "a") + b"--limit--\r\n"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (WHOLE[:-12], MULTIPART),
        (WHOLE[:40], MULTIPART),
        (b"no boundary here", MULTIPART),
        (WHOLE, {"content-type": "multipart/form-data"}),
        (WHOLE, {"content-type": "text/plain"}),
        (WHOLE, {}),
        (part("model", b"m" * 300) + WHOLE, MULTIPART),
    ],
)
@pytest.mark.parametrize("door", ["/segment", "/classify"])
def test_a_malformed_body_is_refused(
    world: ApiWorld, door: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = world.client.post(door, content=body, headers=headers)
    assert_problem(answer, 400, "MALFORMED_UPLOAD")
    assert world.left_over() == []


@pytest.mark.parametrize("door", ["/segment", "/classify"])
def test_nothing_and_empty_files_are_refused(world: ApiWorld, door: str) -> None:
    only_field = part("model", b"net") + b"--limit--\r\n"
    assert_problem(world.client.post(door, content=only_field, headers=MULTIPART), 422, "NOT_DICOM")
    assert_problem(world.client.post(door, files=files(b"")), 422, "NOT_DICOM")
    assert world.left_over() == []


def unsafe_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../DOE_JANE.dcm", b"x")
    return stream.getvalue()


def bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(70 << 20))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (unsafe_zip(), 422, "UNSAFE_ARCHIVE"),
        (bomb(), 422, "UNSAFE_ARCHIVE"),
        (b"PK\x03\x04 broken", 422, "CORRUPT_ARCHIVE"),
        (b"x" * 300_001, 413, "LIMIT_EXCEEDED"),
    ],
    ids=["names", "bomb", "corrupt", "large"],
)
@pytest.mark.parametrize("door", ["/segment", "/classify"])
def test_bad_uploads_are_refused_by_name(
    world: ApiWorld, door: str, content: bytes, status: int, code: str
) -> None:
    assert_problem(world.client.post(door, files=files(content)), status, code)
    assert world.left_over() == []


def test_size_is_counted_where_it_is_not_announced(world: ApiWorld) -> None:
    def pieces() -> Iterator[bytes]:
        yield part("files", b"", "a")[:-2]
        for _ in range(400):
            yield b"x" * 1000

    answer = world.client.post("/segment", content=pieces(), headers=MULTIPART)
    assert_problem(answer, 413, "LIMIT_EXCEEDED")
    assert world.left_over() == []


def test_fields_count_as_what_they_are_in_the_body(world: ApiWorld) -> None:
    def fields() -> Iterator[bytes]:
        for number in range(2000):
            yield part(f"field{number}", b"x" * 200)
        yield WHOLE

    answer = world.client.post("/segment", content=fields(), headers=MULTIPART)
    assert_problem(answer, 413, "LIMIT_EXCEEDED")
    assert world.left_over() == []


def test_a_header_of_a_part_has_an_end(world: ApiWorld) -> None:
    answer = world.client.post(
        "/segment", content=part("x" * 20_000, b"") + WHOLE, headers=MULTIPART
    )
    assert_problem(answer, 400, "MALFORMED_UPLOAD")


def test_too_many_files_are_refused(world: ApiWorld) -> None:
    answer = world.client.post("/segment", files=files(*[b"x"] * 61))
    assert_problem(answer, 413, "LIMIT_EXCEEDED")
    assert "60 files" in answer.json()["detail"]


def test_classify_says_what_would_be_used_and_why(world: ApiWorld, tmp_path: Path) -> None:
    answer = world.client.post("/classify", files=files(zipped(swi(tmp_path)), b"read me"))
    assert answer.status_code == 200, answer.text
    view = answer.json()
    (series,) = view.pop("series")
    (volume,) = series.pop("volumes")
    assert view == {
        "study_instance_uid": uid("study"),
        "studies": [
            {
                "study_instance_uid": uid("study"),
                "missing_roles": ["PHASE", "DWI", "ADC", "FLAIR", "TOF"],
                "derived_roles": {},
                "duplicate_instances": 0,
            }
        ],
        "pixels_read": True,
        "ignored_files": 1,
        "damaged_files": [],
        "research_use_notice": RESEARCH_USE_NOTICE,
    }
    assert series == {
        "series_instance_uid": uid("swi"),
        "study_instance_uid": uid("study"),
        "series_number": 1,
        "series_description": "SWI_Images",
        "modality": "MR",
        "instances": 8,
    }
    evidence, confidence = volume.pop("evidence"), volume.pop("confidence")
    assert volume == {
        "label": "SWI",
        "role": "SUSC",
        "reason": None,
        "reason_code": None,
        "role_reason": "the only one",
        "override_id": None,
        "volume_id": uid("swi"),
        "split": {},
        "slices": 8,
    }
    assert 0.5 < confidence <= 1
    assert {"rule_id", "attribute", "value", "label", "direction", "weight"} == set(evidence[0])
    weights = [abs(vote["weight"]) for vote in evidence]
    assert weights == sorted(weights, reverse=True)
    assert "DOE" not in answer.text
    assert world.left_over() == []


def test_classify_may_look_at_headers_alone(world: ApiWorld, tmp_path: Path) -> None:
    cut = [path.read_bytes()[:-200] for path in swi(tmp_path)]
    with_pixels = world.client.post("/classify", files=files(*cut)).json()
    without = world.client.post("/classify?pixels=false", files=files(*cut)).json()
    assert (with_pixels["pixels_read"], without["pixels_read"]) == (True, False)
    assert (len(with_pixels["damaged_files"]), without["damaged_files"]) == (8, [])
    assert [series["volumes"][0]["role"] for series in without["series"]] == ["SUSC"]
    answer = world.client.post("/classify?pixels=perhaps", files=files(*cut))
    assert answer.status_code == 422


def test_classify_takes_several_studies(world: ApiWorld, tmp_path: Path) -> None:
    paths = [
        *swi(tmp_path, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1"),
        *swi(tmp_path, StudyInstanceUID="1.2.7", SeriesInstanceUID="1.2.7.1", PatientID="OTHER"),
    ]
    contents = [path.read_bytes() for path in paths]
    answer = world.client.post("/classify", files=files(*contents))
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert view["study_instance_uid"] is None
    assert [study["study_instance_uid"] for study in view["studies"]] == ["1.2.7", "1.2.9"]
    assert [
        (series["study_instance_uid"], series["series_instance_uid"], series["volumes"][0]["role"])
        for series in view["series"]
    ] == [("1.2.7", "1.2.7.1", "SUSC"), ("1.2.9", "1.2.9.1", "SUSC")]


def test_classify_says_of_dicom_without_images_that_it_is_none(
    world: ApiWorld, tmp_path: Path
) -> None:
    report, *_ = swi(tmp_path, SOPClassUID=EnhancedSRStorage, Modality="SR")
    answer = world.client.post("/classify", files=files(report.read_bytes()))
    assert answer.status_code == 200, answer.text
    (series,) = answer.json()["series"]
    (volume,) = series["volumes"]
    assert (series["modality"], series["instances"]) == ("SR", 1)
    assert (volume["label"], volume["role"], volume["slices"]) == ("NON_IMAGE", None, 0)
    assert volume["reason_code"] == "NOT_AN_MR_IMAGE"
    assert EnhancedSRStorage in volume["reason"]
    assert "SUSC" in answer.json()["studies"][0]["missing_roles"]


def test_classify_obeys_the_overrides_of_the_site(tmp_path: Path) -> None:
    overrides = tmp_path / "site.yaml"
    overrides.write_text(
        "version: 1\noverrides:\n- {id: old, match: {ImageType: SWI}, role: NEVER}"
    )
    with ApiWorld(tmp_path, sequence_overrides=overrides) as world:
        answer = world.client.post("/classify", files=files(zipped(swi(tmp_path))))
    (volume,) = answer.json()["series"][0]["volumes"]
    assert (volume["override_id"], volume["reason_code"]) == ("old", "SITE_OVERRIDE")


@pytest.mark.parametrize(
    ("contents", "code"), [((b"no", b"dicom"), "NOT_DICOM"), ((b"",), "NOT_DICOM")]
)
def test_classify_refuses_what_is_no_study(
    world: ApiWorld, contents: tuple[bytes, ...], code: str
) -> None:
    assert_problem(world.client.post("/classify", files=files(*contents)), 422, code)


def test_classify_names_a_truncated_file(world: ApiWorld, tmp_path: Path) -> None:
    whole = swi(tmp_path)[0].read_bytes()
    answer = world.client.post("/classify", files=files(whole[:-200]))
    assert answer.status_code == 200, answer.text
    view = answer.json()
    (damage,) = view["damaged_files"]
    assert uid(uid("swi"), 0) in damage
    assert "312 of 512 bytes" in damage
    (series,) = view["series"]
    assert series["volumes"][0]["label"] == "SWI"
    assert series["volumes"][0]["reason_code"] == "TOO_FEW_SLICES"


def test_classify_names_what_is_left_of_a_header(world: ApiWorld, tmp_path: Path) -> None:
    start = swi(tmp_path)[0].read_bytes()[:400]
    answer = world.client.post("/classify", files=files(start))
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert view["damaged_files"] == ["a DICOM file ends inside its header"]
    assert (view["study_instance_uid"], view["studies"], view["series"]) == (None, [], [])


def test_models_are_listed_with_what_was_measured(world: ApiWorld) -> None:
    (model,) = world.client.get("/models").json()["models"]
    assert (model["name"], model["version"], model["default"]) == ("net", "1.0.0", True)
    assert model["roles"] == ["SUSC", "PHASE", "DWI", "ADC", "FLAIR", "TOF"]


def test_a_broken_model_folder_is_the_operators_problem(tmp_path: Path) -> None:
    with ApiWorld(tmp_path) as world:
        (world.models / "net" / "1.0.0" / "model.json").write_text("{")
        assert_problem(world.client.get("/models"), 503, "INVALID_MODEL")
        assert_problem(world.client.post("/segment", files=files(b"x")), 503, "INVALID_MODEL")
        assert world.left_over() == []


def test_a_job_that_cannot_be_stored_leaves_no_upload(world: ApiWorld) -> None:
    with world.broken_database():
        answer = world.client.post("/segment", files=files(b"one"))
    assert_problem(answer, 503, "JOB_DATABASE_UNAVAILABLE")
    assert world.left_over() == []


@pytest.mark.parametrize("path", ["/segment", "/classify"])
def test_a_boundary_that_is_too_long_is_the_senders_fault(world: ApiWorld, path: str) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={'b' * 300}"}
    answer = world.client.post(path, content=b"--b", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "MALFORMED_UPLOAD"
