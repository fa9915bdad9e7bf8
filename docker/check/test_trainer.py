"""The trainer's image simulates a patient and trains a tiny network on it for two steps.

Run by ``make images-check`` with ``IMAGES="... trainer-cpu"``.
"""

import json
import re
import tempfile
from pathlib import Path

from docker.check.composition import read_composition
from docker.check.containers import Container
from docker.check.site import image_named, make_data_folder, output, tell

VERSION = "import torch, service; print(torch.__version__, torch.version.cuda, service.__version__)"
COHORT = "python -m training.make_cohort --site B --count 1 --seed 7 --processes 1 --out cohort"
CONFIG = """
cohort = "cohort"
output = "run"
seed = 1
steps = 2
slabs = [[2, 32, 32]]
batch = 1
learning_rate = 1e-3
weight_decay = 0.0
warmup_steps = 1
gradient_clip = 1.0
ema = 0.9
checkpoint_steps = 1
threads = 1
dropout = {rate = 0.3}
network = {channels = [4, 8], hidden = 4}
expected = {dice = "none: two steps are no training", cost = "seconds"}
"""


def test_it_simulates_and_trains(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="trainer-", dir="/var/tmp") as place:
        home = Path(place)
        home.chmod(0o755)
        make_data_folder(home)
        (home / "data/tiny.toml").write_text(CONFIG)
        service = image_named("trainer-cpu", read_composition())
        mounts = [f"{home}/data:/data"]
        with Container(service, mounts, {"OMP_NUM_THREADS": "1"}, tmp_path / "log") as trainer:
            torch, cuda, version = output(trainer, "python", "-c", VERSION).split()
            tell(f"trainer-cpu {version}: torch {torch}")
            assert cuda == "None", "torch for the CPU brings no CUDA"
            assert "--resume" in output(trainer, "python", "-m", "training.train", "--help")
            output(trainer, *COHORT.split())
            output(trainer, "python", "-m", "training.train", "tiny.toml")
            lines = (home / "data/run/log.jsonl").read_text().splitlines()
            steps = [json.loads(line) for line in lines]
            tell(f"trainer-cpu: losses {[round(step['loss'], 3) for step in steps]}")
            assert [step["step"] for step in steps] == [1, 2]
            assert (home / "data/run/checkpoint.pt").stat().st_size > 0
            title = trainer.labels()["org.opencontainers.image.title"]
            assert re.fullmatch(r"Thrombolens trainer \(cpu\)", title)
            assert trainer.written() == []
