"""Names of patients and studies that tell nothing: keyed hashes of their identifiers.

The same key gives the same names, so that an archive can be imported piece by piece; without the
key nobody can try which identifier a name belongs to.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

from training.cohort_errors import LayoutError

_KEY_BYTES = 32
# 48 bits: two of ten thousand patients share a name once in five million cohorts.
_NAME_DIGITS = 12


@dataclass(frozen=True)
class Pseudonyms:
    """Gives names by a secret key."""

    _key: bytes = field(repr=False)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read the key, or make one that only its owner can read.

        Raises
        ------
        LayoutError
            If the file holds something else.
        """
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError as exc:
            raise LayoutError(f"{path} is no key file: hexadecimal digits are expected") from exc
        if len(key) != _KEY_BYTES:
            raise LayoutError(f"{path} holds {len(key)} bytes, a key has {_KEY_BYTES}")
        return cls(key)

    def subject(self, patient_id: str, centre: str) -> str:
        """Name a patient; two centres may use one identifier for two patients."""
        return f"sub-{self._name('patient', centre, patient_id)}"

    def session(self, study_instance_uid: str) -> str:
        """Name a study."""
        return f"ses-{self._name('study', study_instance_uid)}"

    def _name(self, *parts: str) -> str:
        message = "\0".join(parts).encode()
        return hmac.new(self._key, message, sha256).hexdigest()[:_NAME_DIGITS]
