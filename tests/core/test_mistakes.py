"""Mistakes that people make with each command: exit code 2, one clear line that names the file or key and what to do
about it, and with --json what mends it."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from instdata.build import build, prepare
from instdata.cli.main import main
from instdata.util.checksums import write_sums
from tests.conftest import rows
from tests.core.test_cli import mistaken

RECIPE = """
name: small
taxonomy: belle
sources: [{path: rows.jsonl, name: mine, license: mit, max_bad: 10%}]
steps:
  - holdout: {per_ability: 2}
  - dedup: {method: exact}
  - filter: {where: "length(response) > 5"}
subsets: {sizes: [25%, 100%]}
publish: {license: cc-by-4.0}
"""
# The command line | what the line says | a word of its fix, or nothing where only a person knows.
MISTAKES = """
audit | Missing argument 'SET' | audit --help
audit gone.jsonl | gone.jsonl: no such file or folder |
audit rows.json | rows.json: no such file or folder. Did you mean "rows.jsonl"? | rows.jsonl
audit text.txt | text.txt: unknown kind of file; known are .jsonl |
audit empty.jsonl | empty.jsonl: no record is in it |
audit bad.json | bad.json: none of 1 record can be read |
audit folder | folder: the folder has no data file |
audit rows.jsonl --against gone.jsonl | --against: gone.jsonl: no such file |
audit rows.jsonl --fail-if "leeks > 0" | unknown name "leeks". Did you mean "leaks"? | leaks
audit rows.jsonl --fail-if "defects >" | Write NAME OP NUMBER |
audit rows.jsonl --fail-if "leaks > 0" | add --against SUITE |
audit rows.jsonl --recipe r.yaml | it is there already |
audit rows.jsonl --out rows.jsonl | a file is there; --out names a folder |
audit rows.jsonl --limt 3 | No such option: --limt | --limit
review small | who reviews? | review BUILD --as NAME
review smal --as ann | smal: no finished build there (no manifest.json). Did you mean "small"? | small
review small --as ann --by abilty | 'abilty' is not one of 'ability' | ability
review small --as ann --queue disagreement | Did you mean "disagreements"? | disagreements
review small --as ann --width 0 | '--width' |
review small --as ann --port 99999 | '--port' |
review small --export t.json --import t.json | one at a time |
review small --export t.json --format labelstudio | Did you mean "label-studio"? | label-studio
review small --import gone.json | gone.json: no such file: name what --export wrote |
review small --import bad.json | bad.json: cannot be read as JSON |
review small --import list.json | list.json: record 1: neither Label Studio's task nor Argilla's record |
report gone --serve | gone: no finished build there | build RECIPE
report small --serve --port -1 | '--port' |
report small --srve | No such option: --srve | --serve
compare s.csv | name two logs at least |
compare s.csv gone.csv | gone.csv: not there |
compare s.csv s.csv | a log is named twice |
compare s.csv other.csv | have no item in common |
compare s.csv nameless.csv | add a column id |
compare s.csv folder | folder: no log is in this folder |
compare s.csv text.txt | text.txt: not a log that is read here |
compare s.csv bad.json | bad.json: the last value breaks off |
compare s.csv other.csv --margin -1 | --margin -1.0: write a number above 0 |
ablate small --filter nothing --plan | Steps: holdout, dedup, filter |
ablate small --plan | say what to compare: --filter STEP |
ablate small --filter filter --metric bit --plan | Did you mean "bits"? | bits
ablate small --filter filter --match tokns --plan | Did you mean "tokens"? | tokens
ablate small --filter filter --keep lots --plan | write 20GB, 500MB or 0 |
ablate small --filter filter --margin -1 --plan | --margin -1 |
ablate small --filter filter --cells s.csv --plan | s.csv:2: a cell has arm, size, seed, model |
ablate small --filter filter --card --cells gone.csv | gone.csv: no such table |
ablate small --filter filter --out rows.jsonl | --out names a folder |
ablate small --filter filter,dedup --card | several arms are matched in supervised tokens |
ablate small --filter filter --add mine | ask one of them |
leaderboard smal | Did you mean "small"? | small
leaderboard small --methods rdss --plan | no such selector. Did you mean "rds"? | rds
leaderboard small --seeds 2 --plan | at least 5 |
leaderboard small --keep lots --plan | write 600, 200k, 0.2M or 10% |
leaderboard small --metric bleu --plan | one of bits, distractors |
leaderboard small --recipe prox --plan | Did you mean "proxy"? | proxy
leaderboard small --set lrr=3 --plan | Did you mean "lr"? | lr
leaderboard small --suite gone.jsonl --plan | gone.jsonl: no such file |
leaderboard small --taxonomy bele --plan | Did you mean "belle"? | belle
leaderboard small --out rows.jsonl --plan | --out names a folder |
reproduce bele | one of belle, doit. Did you mean "belle"? | belle
reproduce belle smal --plan | Did you mean "small"? | small
reproduce belle gone.yaml --plan | gone.yaml: no such recipe | init
reproduce belle small --scale lots --plan | write 600, 200k, 0.2M or 10% |
reproduce belle small --seeds 0 --plan | '--seeds' |
reproduce belle small --set x --plan | no setting "x" |
reproduce belle small --suite gone.jsonl --plan | gone.jsonl: no such file |
reproduce belle small --taxonomy doitt --plan | Did you mean "doit"? | doit
reproduce belle small --model "" --plan | the name of a model is empty |
reproduce belle small --judge-runs 0 | '--judge-runs' |
next small | run `instdata curves builds/small` first | curves builds/small
next small --plan | --plan belongs to --design |
next s.csv --design | a table cannot be trained on |
next small --design --mixtures 3 --plan | --mixtures 3: at least 6 |
next small --design --rows 2 --plan | '--rows' |
next small --design --seeds 0 --plan | --seeds 0: at least 2 |
next small --design --fresh-seeds 0 --plan | --fresh-seeds 0: at least 2 |
next small --design --metric bleu --plan | one of bits, distractors |
next small --design --recipe prox --plan | Did you mean "proxy"? | proxy
next small --budget 0 | '--budget' |
keep nope --why x | no row has the id or rid "nope" | report builds/small
keep small mine/rows.jsonl:1 | Missing option '--why' | keep --help
drop rows.jsonl:99 --why x | Did you mean "mine/rows.jsonl:60"? | mine/rows.jsonl:60
drop mine/rows.jsonl:60 --why x | quarantine.jsonl has it |
drop small small mine/rows.jsonl:1 --why x | name a build once, and one row |
drop mine/rows.jsonl:1 --why "" | say why, for those who read the ledger |
relabel mine/rows.jsonl:1 --why x | Missing option '--ability' | relabel --help
relabel mine/rows.jsonl:1 --ability mth --why x | Did you mean "math"? | math
relabel mine/rows.jsonl:1 --ability math --why x --file bad.json | bad.json:1: not JSON |
relabel mine/rows.jsonl:1 --ability math --why x --file folder | folder: cannot be read as UTF-8 text |
agent contxt | Did you mean 'context'? | context
agent context dedpu | Did you mean "dedup"? | dedup
agent context a b | unexpected extra argument | context --help
agent skill x | unexpected extra argument | skill --help
verify smal --rebuild | Did you mean "small"? | small
verify rows.jsonl | no finished build there | build RECIPE
verify small --rebuild --sources gone | rows.jsonl: no such file or folder |
verify small --sources folder | add --rebuild |
verify small --revision x | of a dataset on the Hub |
verify small --signed-by gone.pub | gone.pub: cannot be read: a public key |
sign small | Missing option '--key' |
sign smal --key k | Did you mean "small"? | small
sign small --key gone | gone: no such key |
sign small --key rows.jsonl | ssh-keygen cannot sign with it |
verify small --source x | No such option: --source | --sources
arms small | say what to compare: --filter STEP |
arms small --filter fliter | no step "fliter". Did you mean "filter"? | filter
arms small --filter filter --export trll | Did you mean "trl"? | trl
arms small --filter filter --out rows.jsonl | --out names a folder |
arms small --filter filter --out folder/.. | holds something already; choose another --out |
arms small --filter filter --seeds 1 | '--seeds' |
arms small --filter filter --match toks | Did you mean "tokens"? | tokens
arms small --filter filter --set lrr=3 | Did you mean "lr"? | lr
arms small --filter filter --taxonomy bele | Did you mean "belle"? | belle
arms small --filter filter --suite gone.jsonl | gone.jsonl: no such file |
push-to-hub smal | Did you mean "small"? | small
push-to-hub small | which repository? Give --repo owner/name |
push-to-hub small --repo noslash | (not 'noslash') |
push-to-hub small --allow licence --repo me/x --dry-run | Did you mean "license"? | license
push-to-hub small --drun | No such option: --drun |
export small | Missing option '--out' | export --help
export small --out x.csv | give a file that ends in .jsonl |
export small --out x.jsonl --format alpac | Did you mean "alpaca"? | alpaca
export small --out x.jsonl --config hold | no config "hold" |
export small --out x.jsonl --ability mth | Did you mean "math"? | math
export small --out x.jsonl --trainer trll | Did you mean "trl"? | trl
export small --out x.jsonl --dropped fliter | Did you mean "filter"? | filter
export small --out x.jsonl --dropped filter.filtred | its reasons: filtered |
export small --out x.jsonl --format source --config 25pct | it takes no --config |
export small --out rows.jsonl/x.jsonl | rows.jsonl: a file is there; name another |
evaluate gone --build small | gone: no such model |
evaluate auto --build smal | Did you mean "small"? | small
evaluate auto --build small --metrics bit | Did you mean "bits"? | bits
evaluate auto --build small --suite gone.jsonl | gone.jsonl: no such file |
evaluate auto --build small --with inspect:x | write lm-eval:TASK,TASK |
evaluate auto --build small --with lm-eval: | name a task: lm-eval:gsm8k |
evaluate auto --build small --with lm-eval:gone.yaml | gone.yaml: no such file |
evaluate auto --build small --taxonomy bele | Did you mean "belle"? | belle
evaluate auto --build small --sandbox dokcer | one of auto, docker, none |
evaluate auto --build small --sandbox none | add --i-know |
evaluate auto --build small --judge "" | the name of a model is empty |
evaluate auto --build small --out rows.jsonl | --out names a folder |
evaluate http://127.0.0.1:9/v1 --build small | say which of its models |
judge-card --on gone.jsonl | gone.jsonl: no such file or folder |
judge-card --on rows.jsonl | rows.jsonl:1: neither answers, labels nor a verdict |
judge-card --on rows.jsonl --map labl=ability | FIELD=COLUMN, of id, prompt |
judge-card --on text.txt | text.txt: not a data file |
why a b c | name a build once, and one row |
why smal mine/rows.jsonl:1 | Did you mean "small"? | small
why small rows.jsonl:99 | The last record of rows.jsonl is 60. | mine/rows.jsonl:60
why small rows.jsonl | no row has the id or rid "rows.jsonl" | report builds/small
diff small gone | gone: no finished build there | build RECIPE
build r.yml | r.yml: no such recipe. Did you mean "r.yaml"? | r.yaml
build folder | folder: a folder, where a recipe is needed | init
build rows.jsonl | rows.jsonl:2: not valid YAML |
build empty.jsonl | a recipe is a mapping with name:, sources: and steps: |
build r.yaml --set dedup.treshold=3 | unknown key "treshold" in step dedup. Did you mean "threshold"? | threshold
build r.yaml --set dedup.threshold=1.5 | threshold: input should be less than or equal to 1, or 'auto' (got '1.5') |
build r.yaml --set dedpu.threshold=0.5 | no key or step "dedpu" in r.yaml. Did you mean "dedup"? | dedup
build r.yaml --set subsets.sizes=[200%] | a share of the pool is at most 100% |
build r.yaml --set taxonomy=bele | unknown taxonomy "bele". Did you mean "belle"? | belle
build r.yaml --set sources.0.path=gone.jsonl | gone.jsonl: no such file or folder |
build r.yaml --set sources.0.path=folder | folder: the folder has no data file |
build r.yaml --set sources.0.format=alpca | (got 'alpca'). Did you mean "alpaca"? | alpaca
build r.yaml --limit 0 | '--limit' |
build r.yaml --jobs many | a valid integer |
build r.yaml --engine rai | 'rai' is not one of 'local', 'ray' | ray
build r.yaml --out rows.jsonl | a file is there; --out names a folder |
build r.yaml --out builds/small --set seed=3 | another build is there |
build r.yaml --set nothing | --set nothing: write key=value |
why unfinished mine/rows.jsonl:1 | no finished build there (no manifest.json) |
diff small unfinished | no finished build there (no manifest.json) |
report unfinished | no finished build there (no manifest.json) |
export unfinished --out x.jsonl | no finished build there (no manifest.json) |
push-to-hub unfinished --repo me/x --dry-run | no finished build there (no manifest.json) |
verify builds/unfinished | no finished build there |
report rows.jsonl | no finished build there |
why small | small: this is a build; name a row of it too |
why aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --build small | small: no row has the id |
report small --port 80 | --port belongs to --serve |
report later | written by instdata 99.0 (schema 99; this one reads 1): update instdata |
train small --config hold | no config "hold" to train on |
init ../x | letters |
models pul | models pull NAME |
models pull gpt-9 | gpt-9 |
cache clear | cache size |
"""
CASES = [[p.strip() for p in line.split("|")] for line in MISTAKES.strip().splitlines()]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small build and files that are none of what is wanted."""
    home = tmp_path_factory.mktemp("mistakes")
    abilities = ("math", "code", "open_qa")
    lines = [
        json.dumps({**r, "ability": abilities[i % 3]} | ({"output": "x"} if i % 12 == 5 else {}))
        for i, r in enumerate(rows(60))
    ]
    files = {
        "rows.jsonl": "\n".join([*lines, '{"instruction": ', ""]), "r.yaml": RECIPE, "text.txt": "hello",
        "empty.jsonl": "", "bad.json": '{"a": ', "list.json": "[1]", "s.csv": "id,score\n1,0.5\n2,1\n",
        "other.csv": "id,score\n8,0.5\n9,1\n", "nameless.csv": "name,points\na,1\n",
    }  # fmt: skip
    for name, text in files.items():
        (home / name).write_text(text)
    (home / "folder").mkdir()
    (home / "builds/unfinished/data").mkdir(parents=True)  # a build that was never finished
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTDATA_CACHE", str(home / "cache"))
        build(prepare(home / "r.yaml"), home / "builds/small")
    later = shutil.copytree(home / "builds/small", home / "later")
    (later / "manifest.json").write_text(
        json.dumps({"schema_version": 99, "versions": {"instdata": "99.0"}, "outputs": []})
    )
    (later / "SHA256SUMS").unlink()
    write_sums(later)
    return home


@pytest.mark.parametrize(("line", "says", "mends"), [(*case, "")[:3] for case in CASES], ids=[c[0] for c in CASES])
def test_a_mistake_costs_one_clear_line(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, says: str, mends: str
) -> None:
    monkeypatch.setenv("INSTDATA_CACHE", str(there / "cache"))
    before = sorted(p for p in there.rglob("*") if "cache" not in p.parts)
    answer = mistaken(there, monkeypatch, capsys, [*shlex.split(line)], 2)
    assert says in answer["error"] and "bug" not in answer["error"]
    assert "\n" not in answer["error"].replace("\ns.csv:3", "")
    assert any(mends in str(f) for f in answer["fix"]) if mends else isinstance(answer["fix"], list)
    assert sorted(p for p in there.rglob("*") if "cache" not in p.parts) == before


def test_validate_counts_problems_of_a_recipe_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, says in ((["gone.yaml"], "init` writes one\n1 problem in gone.yaml\n"), ([], "init` writes one\n")):
        monkeypatch.setattr("sys.argv", ["instdata", "validate", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capsys.readouterr().err
        assert stopped.value.code == 2 and told.endswith(says) and "None\n" not in told
