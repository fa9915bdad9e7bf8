"""Other people's servers and viewers that our objects must please: Orthanc, dcmtk, OHIF."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from tests.processes import free_port, served, wait_until
from tests.tools import require

START_S = 30.0
# Without them browsers give a page no shared memory, which the viewer decodes images in.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes
    ----------
    client : httpx.Client
        Of its REST interface; DICOMweb is below ``/dicom-web``.
    dicom_port : int
        Where it takes associations.
    """

    client: httpx.Client
    dicom_port: int

    def series(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """Return the series of a study as QIDO-RS tells them; none if there is no such study."""
        answer = self.client.get(f"/dicom-web/studies/{study_instance_uid}/series")
        return [] if answer.status_code == 404 else list(answer.raise_for_status().json())

    def modalities(self, study_instance_uid: str) -> list[str]:
        """Return the modality of every series, sorted."""
        return sorted(one["00080060"]["Value"][0] for one in self.series(study_instance_uid))


@contextmanager
def orthanc(folder: Path, **options: object) -> Iterator[Orthanc]:
    """Run Orthanc with its DICOMweb plugin on ports of its own; options replace its settings."""
    http_port, dicom_port = free_port(), free_port()
    configuration = {
        "Name": "Test archive",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(require("libOrthancDicomWeb.so"))],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **options,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([str(require("Orthanc")), str(file)], stdout=log, stderr=log)
    try:
        # Orthanc closes connections that a client keeps for later.
        limits = httpx.Limits(max_keepalive_connections=0)
        base = f"http://127.0.0.1:{http_port}"
        with httpx.Client(base_url=base, timeout=30, limits=limits) as client:
            wait_until(lambda: _answers(client, "/system"), START_S, "Orthanc answers")
            yield Orthanc(client, dicom_port)
    finally:
        server.kill()
        server.wait()


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def storescu(port: int, called_ae: str, paths: Sequence[Path]) -> None:
    """Send files as a modality does; raises CalledProcessError if any is refused."""
    # Required contexts only: the default list leaves three-dimensional reports out.
    command = [
        str(require("storescu")),
        "-R",
        "-aet",
        "MODALITY",
        "-aec",
        called_ae,
        "127.0.0.1",
        str(port),
    ]
    subprocess.run([*command, *map(str, paths)], check=True, capture_output=True)


@contextmanager
def ohif(dist: Path, archive: Orthanc) -> Iterator[str]:
    """Serve the viewer's files and, at the same place, the archive's DICOMweb; yield the address.

    Orthanc's plugin compares percent-encoded values as they stand, so they are decoded on the way.
    """
    app = FastAPI()

    @app.get("/app-config.js")
    def configuration() -> Response:
        return Response(_CONFIGURATION, media_type="text/javascript", headers=ISOLATION)

    @app.get("/dicom-web/{path:path}")
    def dicomweb(path: str, request: Request) -> Response:
        url = f"/dicom-web/{path}?{unquote(request.url.query)}"
        accept = {"Accept": request.headers.get("accept", "*/*")}
        answer = archive.client.get(url, headers=accept)
        kind = answer.headers.get("content-type", "application/octet-stream")
        headers = {"Content-Type": kind, **ISOLATION}
        return Response(answer.content, answer.status_code, headers=headers)

    @app.get("/{path:path}")
    def files(path: str) -> Response:
        file = dist / path
        # Every other address is a page of the one application.
        return FileResponse(file if file.is_file() else dist / "index.html", headers=ISOLATION)

    with served(app) as address:
        yield address


_CONFIGURATION = """
window.config = {
  routerBasename: null, extensions: [], modes: [], customizationService: {},
  showStudyList: true, maxNumberOfWebWorkers: 2, defaultDataSourceName: 'archive',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'archive',
    configuration: {
      friendlyName: 'archive', name: 'archive',
      wadoUriRoot: '/dicom-web', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true,
      bulkDataURI: { enabled: true, relativeResolution: 'studies' },
    },
  }],
};
"""
