"""Which photos a command means, and what is said where they cannot be looked for."""

from pixelwise.photos.find import find_photos


def test_finding_photos(tmp_path):
    for name in ("b.png", "a.jpg", "notes.txt", ".hidden.png", "sub/c.tif", "out/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "round").symlink_to(tmp_path)
    flat, _ = find_photos([str(tmp_path), str(tmp_path / "a.jpg")])
    assert [found.path.name for found in flat] == ["a.jpg", "b.png"]
    deep, _ = find_photos([str(tmp_path)], recursive=True, leave_out=tmp_path / "out")
    assert [(found.path.name, str(found.folder)) for found in deep] == [
        ("a.jpg", "."),
        ("b.png", "."),
        ("c.tif", "sub"),
    ]
    matching, _ = find_photos([str(tmp_path / "**" / "*.tif")])
    assert [found.path.name for found in matching] == ["c.tif"]


def test_inputs_without_photos_are_failures(tmp_path):
    (tmp_path / "empty").mkdir()
    found, failures = find_photos([str(tmp_path / "empty"), str(tmp_path / "*.png")])
    assert found == []
    assert [failure.path for failure in failures] == [tmp_path / "empty", tmp_path / "*.png"]
    assert "--recursive" in failures[0].error
