"""Signatures: of a build, of what is published, and everything that is not one. No network; ssh-keygen is real."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from instdata.publish.published_folder import write_publication
from instdata.publish.push import push
from instdata.publish.signature import sign
from instdata.publish.verify import verify
from instdata.util.errors import InputError
from tests.hub_server import Hub

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not on this machine")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ann", "bob"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    (folder / "both.keys").write_text((folder / "bob.pub").read_text() + (folder / "ann.pub").read_text())
    (folder / "allowed").write_text(f'ann@example.org namespaces="instdata" {(folder / "ann.pub").read_text()}')
    (folder / "elsewhere").write_text(f'ann@example.org namespaces="git" {(folder / "ann.pub").read_text()}')
    (folder / "nothing").write_text("# nobody\n")
    return folder


def of(folder: Path, signers: Path | None) -> tuple[bool, dict[str, object] | None]:
    found = verify(folder, signers=signers)
    return found["ok"], next((c for c in found["checks"] if c["name"] == "signature"), None)


def test_a_build_is_signed_and_checked(small: Path, keys: Path, tmp_path: Path) -> None:
    small = Path(shutil.copytree(small, tmp_path / "small"))
    assert of(small, None) == (True, None), "nobody asked, and there is none"
    assert of(small, keys / "ann.pub")[1]["problems"] == ["not signed: there is no SHA256SUMS.sig"]
    first = sign(small, keys / "ann").read_bytes()
    assert sign(small, keys / "ann").read_bytes() == first, "the same again is the same, and asks nothing"
    for signers in ("ann.pub", "both.keys", "allowed"):
        ok, check = of(small, keys / signers)
        assert ok and "ED25519" in check["detail"], check
    for signers in ("bob.pub", "elsewhere"):
        ok, check = of(small, keys / signers)
        assert not ok and check["problems"], signers
    ok, check = of(small, None)
    assert ok and "--signed-by" in check["detail"]
    (small / "SHA256SUMS").write_bytes((small / "SHA256SUMS").read_bytes() + b"0" * 64 + b"  new\n")
    assert "does not fit SHA256SUMS" in of(small, keys / "ann.pub")[1]["problems"][0]
    (small / "SHA256SUMS.sig").write_text("no signature")
    assert of(small, keys / "ann.pub")[1]["problems"] == ["not signed by one of these keys"]


def test_what_is_published_is_signed_by_its_manifest(small: Path, keys: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    write_publication(small, folder, "me/small", meta=False)
    assert sign(folder, keys / "ann", published=True).name == "manifest.json.sig"
    assert of(folder, keys / "ann.pub")[0]
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest))  # the same facts in other bytes
    assert "does not fit manifest.json" in of(folder, keys / "ann.pub")[1]["problems"][0]
    (folder / "manifest.json.sig").unlink()
    (folder / "manifest.json.sig").symlink_to(keys / "ann.pub")
    assert of(folder, keys / "ann.pub")[1]["problems"] == ["manifest.json.sig is no file of this set"]


def test_a_push_signs_and_an_unsigned_one_takes_the_old_signature_away(small: Path, keys: Path, hub: Hub) -> None:
    assert push(small, "me/small", key=keys / "ann")["changed"]
    assert not push(small, "me/small", key=keys / "ann")["changed"]
    assert verify("me/small", signers=keys / "ann.pub")["ok"]
    assert push(small, "me/small")["changed"]
    assert verify("me/small", signers=keys / "ann.pub")["problems"] == [
        "signature: not signed: there is no manifest.json.sig"
    ]


def test_what_is_no_key_is_one_line(small: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such key"):
        sign(small, keys / "none")
    with pytest.raises(InputError, match="ssh-keygen cannot sign with it"):
        sign(small, keys / "nothing")
    sign(small, keys / "ann")
    for name in ("ann", "nothing", "none"):  # a private key is none to check with
        with pytest.raises(InputError, match="public key"):
            verify(small, signers=keys / name)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="install OpenSSH"):
        sign(small, keys / "ann")
