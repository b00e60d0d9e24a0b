"""Archives come out under names of our own, within limits, or are refused by name."""

from __future__ import annotations

import gzip
import os
import random
import resource
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from biasaudit.corpus import archives
from biasaudit.corpus.archives import Member
from biasaudit.errors import CorpusError

TEXT = "Olá, mundo\n".encode() * 500


def zstd(raw: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(raw, asbytes=True))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "out").mkdir(parents=True)
    return tmp_path / "deep" / "out"


def unpack(path: Path, out: Path, **options: str) -> list[Member]:
    before = {p for p in out.parents[1].rglob("*") if p.parent != out}
    try:
        return list(archives.unpacked(path, out, **options))  # type: ignore[arg-type]
    finally:
        assert {p for p in out.parents[1].rglob("*") if p.parent != out} == before


def zipped(folder: Path, members: dict[str, bytes], name: str = "a.zip") -> Path:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in members.items():
            archive.writestr(inner, content)
    return folder / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", gzip.compress(TEXT, mtime=0)),
        ("a.TXT.GZ", gzip.compress(TEXT[:11], mtime=0) + gzip.compress(TEXT[11:], mtime=0)),
        ("a.txt.zst", zstd(TEXT)),
        ("a.txt.zst", zstd(TEXT[:11]) + zstd(TEXT[11:])),
    ],
    ids=["gz", "two-gz", "zst", "two-zst"],
)
def test_streams_and_streams_in_a_row_come_out_whole(tmp_path: Path, out: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (member,) = unpack(tmp_path / name, out)
    assert member.label == name
    assert member.path == out / "00000.txt"
    assert member.path.read_bytes() == TEXT


def test_the_kind_given_by_the_user_makes_endings_irrelevant(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT))
    with pytest.raises(CorpusError, match="no source reads"):
        unpack(tmp_path / "a.gz", out)
    (member,) = unpack(tmp_path / "a.gz", out, kind="text", label="mine")
    assert (member.label, member.path) == ("mine", out / "00000")
    assert unpack(zipped(tmp_path, {"x.bin": TEXT}), out, kind="text")[0].path == out / "00000"


def test_members_that_no_source_reads_are_listed(tmp_path: Path, out: Path) -> None:
    found = unpack(
        zipped(tmp_path, {"a.txt": TEXT, "photo.jpg": b"x", "__MACOSX/._a.txt": b"x", "README": b"x", "b.txt": b""}),
        out,
    )
    assert [(m.label, m.path is not None, m.skipped) for m in found] == [
        ("a.zip/a.txt", True, ""),
        ("a.zip/photo.jpg", False, "no source reads '.jpg'"),
        ("a.zip/__MACOSX/._a.txt", False, "hidden"),
        ("a.zip/README", False, "no source reads names without an ending"),
        ("a.zip/b.txt", False, "empty"),
    ]
    with pytest.raises(CorpusError, match=r"none of its 1 members can be read.*'\.jpg'"):
        unpack(zipped(tmp_path, {"photo.jpg": b"x"}), out)


def test_hostile_names_are_neither_paths_nor_commands(tmp_path: Path, out: Path) -> None:
    names = [
        "../../evil.txt",
        "/etc/x.txt",
        "a\\..\\..\\b.txt",
        "C:\\c.txt",
        "\x1b[2J\u202e.txt",
        "é" * 400 + ".txt",
        "../a.txt",
        "a.txt",
    ]
    found = unpack(zipped(tmp_path, dict.fromkeys(names, TEXT)), out)
    assert [m.path for m in found] == [out / f"{n:05}.txt" for n in range(len(names))]
    labels = [m.label for m in found]
    assert len(set(labels)) == len(names)
    assert all(label.startswith("a.zip/") and ".." not in label and len(label) < 220 for label in labels)
    assert labels[:2] == ["a.zip/evil.txt", "a.zip/etc/x.txt"]
    assert not any(c in label for label in labels for c in "\x1b\u202e\\")


def test_links_in_a_zip_are_not_followed(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path, {"a.txt": TEXT})
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert [m.skipped for m in unpack(path, out)] == ["", "a link or a device"]
    assert [p.name for p in out.iterdir()] == ["00000.txt"]


def test_one_archive_in_another_is_read_and_more_are_refused(tmp_path: Path, out: Path) -> None:
    found = unpack(zipped(tmp_path, {"a.txt.gz": gzip.compress(TEXT), "b.txt.zst": zstd(TEXT)}), out)
    assert [m.path.read_bytes() for m in found if m.path] == [TEXT, TEXT]
    inner = (tmp_path / "a.zip").read_bytes()
    for name in ("b.zip", "b.zip.gz", "b.txt.gz.gz", "b.tar.gz"):
        with pytest.raises(CorpusError, match="an archive in an archive"):
            unpack(zipped(tmp_path, {name: inner}, "c.zip"), out)
    (tmp_path / "d.tar.gz").write_bytes(gzip.compress(TEXT))
    with pytest.raises(CorpusError, match=r"d\.tar\.gz: an archive in an archive"):
        unpack(tmp_path / "d.tar.gz", out)


def test_encrypted_members_are_refused_by_name(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path, {"a.txt": TEXT})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match=r"member a\.txt is encrypted"):
        unpack(path, out)


NOISE = random.Random(5).randbytes(200_000)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", gzip.compress(NOISE, mtime=0)[:-9000]),
        ("a.txt.zst", zstd(NOISE)[:-9000]),
        ("a.txt.gz", b"no gzip at all"),
        ("a.txt.zst", b"no zstd at all"),
        ("a.zip", b"no zip at all"),
        ("a.txt.gz", b""),
        ("a.zip", b""),
    ],
    ids=["cut-gz", "cut-zst", "no-gz", "no-zst", "no-zip", "empty-gz", "empty-zip"],
)
def test_what_is_damaged_or_cut_off_is_refused_by_name(tmp_path: Path, out: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=rf"{name}: damaged or cut off"):
        unpack(tmp_path / name, out)
    assert list(out.iterdir()) == []


def test_a_damaged_member_is_named(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path, {"a.txt": NOISE})
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 255
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match=r"a\.zip: member a\.txt: damaged"):
        unpack(path, out)


def bomb(path: Path, megabytes: int) -> Path:
    block = bytes(1 << 20)
    if path.suffix == ".gz":
        with gzip.open(path, "wb") as stream:
            for _ in range(megabytes):
                stream.write(block)
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as stream:
            for _ in range(megabytes):
                stream.write(block)
    else:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("a.txt", "w") as stream,
        ):
            for _ in range(megabytes):
                stream.write(block)
    return path


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.zip"])
def test_bombs_are_refused_early(tmp_path: Path, out: Path, name: str) -> None:
    path = bomb(tmp_path / name, 300)
    started, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorpusError, match="unpacks to more than 200 times its size"):
        unpack(path, out)
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 200 << 10
    assert list(out.iterdir()) == []


def test_a_bomb_whose_header_lies_is_refused(tmp_path: Path, out: Path) -> None:
    path = bomb(tmp_path / "a.zip", 200)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match=r"damaged|unpacks to more"):
        unpack(path, out)


def test_many_members_and_overlapping_ones_are_refused(tmp_path: Path, out: Path) -> None:
    crowd = zipped(tmp_path, {f"{n}.txt": b"x" for n in range(archives.MEMBERS + 1)})
    with pytest.raises(CorpusError, match="10,001 members to read, at most 10,000"):
        unpack(crowd, out)
    nested = bomb(tmp_path / "n.txt.gz", 200).read_bytes()
    with pytest.raises(CorpusError, match="unpacks to more than 200 times"):
        unpack(zipped(tmp_path, {f"{n}.txt.gz": nested for n in range(3)}, "o.zip"), out)


def test_small_files_of_one_letter_pass(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a" * 20_000_000))
    (member,) = unpack(tmp_path / "a.txt.gz", out)
    assert member.path is not None
    assert member.path.stat().st_size == 20_000_000


def test_pipes_are_refused(tmp_path: Path, out: Path) -> None:
    os.mkfifo(tmp_path / "a.csv.gz")
    with pytest.raises(CorpusError, match="not a regular file"):
        list(archives.unpacked(tmp_path / "a.csv.gz", out))
