import pytest
import yaml

from bl30k_gen.errors import UserError
from bl30k_gen.settings import flatten
from training.schema.lookup import STAGES
from training.schema.recipe import load_recipe
from training.schema.stage import Stage, load_stage


@pytest.mark.parametrize("name", STAGES.names())
def test_every_stage_loads_and_reads_back(name):
    stage = load_stage(name)
    assert Stage.model_validate(yaml.safe_load(stage.to_yaml())) == stage
    assert stage.network == name.split("/")[0]
    small = load_stage(name, preset="tiny")
    assert small.iterations < 100 and small.frames == stage.frames


def test_the_published_numbers():
    """Batches are totals over the published GPUs."""
    rows = {
        "stm/static": (14, 300_000, 1e-5, [250_000]),
        "stm/bl30k": (8, 500_000, 1e-5, [450_000]),
        "stm/vos": (8, 150_000, 1e-5, [125_000]),
        "stcn/static": (16, 300_000, 1e-5, [150_000]),
        "stcn/bl30k": (8, 500_000, 1e-5, [400_000]),
        "stcn/vos": (8, 300_000, 1e-5, [250_000]),
        "rde/static": (64, 75_000, 2e-5, [37_500]),
        "rde/bl30k": (8, 500_000, 1e-5, [400_000]),
        "rde/vos": (16, 75_000, 2e-5, [62_500]),
    }
    rows |= {"fusion/bl30k": (24, 30_000, 1e-4, [20_000]), "fusion/davis": (24, 10_000, 1e-4, [7_500])}
    rows |= {"s2m/static": (32, 80_000, 1e-4, [])}
    assert sorted(rows) == STAGES.names()
    for name, row in rows.items():
        stage = load_stage(name)
        rate, decay_at = stage.optimiser.learning_rate, stage.optimiser.decay_at
        assert (stage.batch, stage.iterations, rate, decay_at) == row, name
        frames = {"fusion": 2, "s2m": 1, "rde": 3 if "static" in name else 5}.get(stage.network, 3)
        assert (stage.objects, stage.frames) == (1 if "static" in name else 2, frames)
    assert load_stage("fusion/davis").loss.warm_up == (2_000, 5_000)
    assert load_stage("s2m/static").loss.warm_up == (10_000, 30_000)
    direct = load_recipe("rde-static-vos").steps[1]
    stage = load_stage(direct.stage, changes=direct.set)
    assert (stage.batch, stage.iterations, stage.loss.warm_up) == (8, 150_000, (20_000, 70_000))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("iteration=5", "did you mean iterations"),
        ("optimiser.lerning_rate=1", "did you mean optimiser.learning_rate"),
        ("data.bl30k.weigth=2", "did you mean data.bl30k.weight"),
        ("augmentation.frame.rotate=2", "did you mean augmentation.frame.rotation"),
        ("optimiser.learning_rate=-1", "greater than 0"),
        ("data.bl30k.crop_scale=[1, 0.2]", "smallest, largest"),
        ("size=100", "multiple of 16"),
        ("loss.frame_weights=[1]", "needs 2 values"),
        ("loss.warm_up=[9, 3]", "warm_up"),
        ("curriculum=null", "videos need curriculum"),
        ("network=s2m", "needs 3 values"),
        ("validation={share: 0.1, samples: 9, every: 9}", "holds still images out"),
        ("iterations", "no '='"),
        ("seed.a=1", "seed is a value"),
        ("validation.share=0.1", "validation is null: give all of it at once"),
    ],
)
def test_mistakes_are_explained(override, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        load_stage("stcn/bl30k", [override])


def test_unknown_names_suggest_similar_ones(tmp_path):
    with pytest.raises(UserError, match="did you mean stcn/static"):
        load_stage("stcn/statc")
    with pytest.raises(UserError, match="tiny"):
        load_stage("stcn/static", preset="tinny")
    with pytest.raises(UserError, match="does not exist"):
        load_stage(str(tmp_path / "none.yaml"))


def test_data_paths_of_sources(tmp_path):
    def paths(*data):
        return {name: source.path for name, source in load_stage("stcn/vos", data=data).sources.items()}

    assert paths("davis=/a", "youtube=/b/c") == {"davis": "/a", "youtube": "/b/c"}
    assert paths(str(tmp_path)) == {tmp_path.name: str(tmp_path)}
    (tmp_path / "youtube").mkdir()
    assert paths(str(tmp_path)) == {"davis": str(tmp_path / "davis"), "youtube": str(tmp_path / "youtube")}
    with pytest.raises(UserError, match="no source davos"):
        paths("davos=/a")
    alone = load_stage("stcn/vos", ["data.youtube.weight=0"], ["davis=/a"])
    assert list(alone.sources) == ["davis"]
    with pytest.raises(UserError, match="--set data.lvis.weight=1"):
        load_stage("stcn/static", data=["lvis=/a"])
    (source,) = load_stage("s2m/static", data=["/a/lvis_v1_train.json"]).sources.values()
    assert source.kind == "lvis" and source.path == "/a/lvis_v1_train.json"


def test_own_stages_extend_ours(tmp_path):
    (tmp_path / "base.yaml").write_text("extends: loop.yaml\n")
    (tmp_path / "loop.yaml").write_text("extends: base.yaml\n")
    with pytest.raises(UserError, match="extends itself"):
        load_stage(str(tmp_path / "base.yaml"))
    (tmp_path / "own.yaml").write_text("extends: stcn/bl30k\niterations: 7\noptimiser: {decay_at: [5]}\n")
    own = load_stage(str(tmp_path / "own.yaml"), ["optimiser.learning_rate=1e-4"])
    assert own.iterations == 7 and own.optimiser.learning_rate == 1e-4
    changed = {k for k, v in own.identity().items() if load_stage("stcn/bl30k").identity()[k] != v}
    assert changed == {"iterations", "optimiser.decay_at", "optimiser.learning_rate"}


def test_folders_of_the_published_code_are_found(tmp_path):
    for folder in ("static/DUTS-TR", "static/fss", "static/BIG_small", "DAVIS/2017/trainval", "YouTube/train_480p"):
        (tmp_path / folder).mkdir(parents=True)
    stage = load_stage("stcn/static", [], [str(tmp_path)])
    assert stage.sources["duts_tr"].path == f"{tmp_path}/static/DUTS-TR"
    assert stage.sources["ecssd"].path == f"{tmp_path}/ecssd", "a missing one is named where it should be"
    assert load_stage("stcn/static", [], [f"{tmp_path}/static"]).sources["big"].path == f"{tmp_path}/static/BIG_small"
    real = load_stage("stcn/vos", [], [str(tmp_path)]).sources
    assert [source.path for source in real.values()] == [
        f"{tmp_path}/DAVIS/2017/trainval",
        f"{tmp_path}/YouTube/train_480p",
    ]


def test_identity_leaves_out_how_and_where():
    stage = load_stage("stcn/bl30k", ["runtime.workers=0"], ["/somewhere"])
    assert not any(key.startswith("runtime") or key.endswith("path") for key in stage.identity())
    fusion = load_stage("fusion/davis", ["alignment=/run/0"], ["/set"])
    assert fusion.identity() == load_stage("fusion/davis", ["alignment=run/0"], ["/set"]).identity()
    assert fusion.identity() != load_stage("fusion/davis", [], ["/set"]).identity()
    s2m = load_stage("s2m/static", ["validation.samples=3", "data.lvis.images=/elsewhere"], ["fss=/somewhere"])
    assert s2m.identity() == load_stage("s2m/static", [], ["fss=/somewhere"]).identity()
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}
