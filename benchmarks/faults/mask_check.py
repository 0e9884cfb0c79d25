"""False alarms and cost of the mask check.

Renders videos through the real pipeline (RGB with one sample, since only masks matter), counts the videos whose masks
were refused, and compares the time of the check with that of a frame of ``bl30k_turbo``:

    python -m benchmarks.faults.mask_check --videos 50 --out out/mask_check --results docs/results/mask_check.md
"""

import json
import statistics
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.page import ROOT, command, machine, parser_of, publish
from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import read_values
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render import dataset
from bl30k_gen.render.supervisor import Execution, Supervisor
from bl30k_gen.scene import raster
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.scene.spec import parse_spec

CHEAP = ["render.samples=1", "render.denoiser=none", "render.adaptive_threshold=0"]


def render(config: Config, out: Path, names: list[str]) -> list[dict]:
    """Render videos that are not published yet; returns the supervisor's events."""
    layout, catalogue, events = Layout(out), open_catalogue(config.assets), []
    dataset.open_for_writing(layout, config, catalogue)
    with tqdm(total=len(names), unit="video") as bar:

        def on_event(event: dict) -> None:
            events.append(event)
            bar.update(event["event"] in ("published", "already", "quarantined"))

        describe = dataset.sampler(config, catalogue)
        Supervisor(config, layout, describe, Execution("cpu", 0, 1), on_event).run(names)
    return events


def check_again(config: Config, out: Path, names: list[str]) -> tuple[list[float], int]:
    """Compare all masks again; returns the CPU seconds of each comparison, and the number that raise an alarm."""
    layout, seconds, alarms = Layout(out), [], 0
    for name in names:
        spec = parse_spec(json.loads(layout.metadata(name).read_text())["scene"], name)
        models = {o.model.id: cached_model(o.model.path, spec.limits) for o in spec.objects}
        for frame in range(spec.video.frames):
            mask = read_values(layout.mask(name, frame))
            begin = time.process_time()
            alarms += bool(raster.compare(mask, spec, models, frame, config.check))
            seconds.append(time.process_time() - begin)
    return seconds, alarms


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--videos", type=int, default=50)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--models", default="builtin")
    parser.add_argument("--textures", default="builtin")
    parser.add_argument("--backgrounds", default="builtin")
    parser.add_argument("--out", type=Path, default=Path("out/mask_check"))
    arguments = parser.parse_args()
    assets = [f"assets.{kind}={getattr(arguments, kind)}" for kind in ("models", "textures", "backgrounds")]
    length = f"video.frames={arguments.frames}"
    speed = 160 / arguments.frames  # so that the paths are those of full videos
    motion = [f"motion.location_speed={0.03 * speed}", f"motion.rotation_speed={0.02 * speed}"]
    turbo = load_config(ROOT / "render_configs/bl30k_turbo.yaml", [*assets, *motion, length])
    cheap = load_config(ROOT / "render_configs/bl30k_turbo.yaml", [*assets, *motion, *CHEAP, length])
    names = [video_name(index, 5000) for index in range(arguments.videos)]
    render(cheap, arguments.out / "masks", names)
    logs = [path.read_text() for path in (arguments.out / "masks/Logs").glob("*.jsonl")]
    refused = sum('"failure"' in log for log in logs)
    seconds, alarms = check_again(cheap, arguments.out / "masks", names)
    frames = [e["total_seconds"] for e in render(turbo, arguments.out / "turbo", names[:2]) if e["event"] == "frame"]
    lines = [
        "# The check of masks: false alarms and cost",
        "",
        f"`{command()}` on {machine()}.",
        "",
        f"- videos rendered at 768x512: {len(names)}, frames compared: {len(seconds)}",
        f"- videos that were refused: {refused}, frames that raise an alarm: {alarms}",
        f"- seconds of CPU a comparison: median {statistics.median(seconds):.4f}, largest {max(seconds):.4f}",
    ]
    if frames:
        ratio = statistics.median(seconds) / statistics.median(frames)
        lines.append(
            f"- wall seconds of a `bl30k_turbo` frame (2 videos): median {statistics.median(frames):.2f}; "
            f"the check is {100 * ratio:.1f} % of it"
        )
    publish("\n".join(lines), arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
