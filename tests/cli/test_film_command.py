"""`harmonize video`: backgrounds, anchors, what a container cannot hold. PyAV alone writes and reads."""

import subprocess
import sys

import numpy as np
import pytest

av = pytest.importorskip("av")

from films import as_picture, read, read_rgb, rectangle, textured, write  # noqa: E402
from harmonize_composite.cli import main  # noqa: E402

MASK = rectangle()
OUTSIDE = ~MASK


def video(folder, *arguments):
    """Runs the command in a folder; names that end like films and pictures are files of it."""
    ours = (".mkv", ".mov", ".mp4", ".webm", ".avi", ".png")
    return main(["video", *(str(folder / each) if each.endswith(ours) else each for each in arguments)])


def cast(picture, gain=(1.3, 1.0, 0.75)):
    return (picture * np.array(gain)).clip(0, 255).astype(np.uint8)


def psnr(one, other, where=MASK):
    return -10 * np.log10(np.square((one.astype(float) - other)[where] / 255).mean())


@pytest.mark.parametrize("kind", ["film", "picture"])
def test_a_foreground_is_pasted_onto_a_background_whose_samples_are_kept(tmp_path, kind):
    scene, thing = textured(0), textured(1)
    frames = [np.where(MASK[..., None], thing, 0).astype(np.uint8)] * 8  # a cut-out on black
    write(tmp_path / "film.mkv", frames)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 8)
    behind = "behind.mkv" if kind == "film" else "behind.png"
    if kind == "film":
        write(tmp_path / behind, [np.roll(scene, number, 1) for number in range(8)], "yuv420p")
    else:
        av.VideoFrame.from_ndarray(scene, "rgb24").to_image().save(tmp_path / behind)
    given = ("film.mkv", "mask.mkv", "-o", "out.mkv", "--background", behind, "--codec", "ffv1", "--strength", "0")
    assert video(tmp_path, *given) == 0
    after, pasted = read(tmp_path / "out.mkv"), read_rgb(tmp_path / "out.mkv")
    expected = read(tmp_path / behind) if kind == "film" else None
    assert len(after) == 8
    for number in range(8):
        if kind == "film":
            assert (after[number] == expected[number])[OUTSIDE].all()
        else:
            assert np.abs(pasted[number].astype(int) - scene)[OUTSIDE].max() <= 3  # what 8 bit YUV rounds
        assert psnr(pasted[number], thing, rectangle(36, 60, 52, 108)) > (25 if kind == "film" else 40)


def test_a_shift_of_tones_seen_outside_the_mask_is_taken_back_inside(tmp_path):
    """As of a film that a video model inpainted: compressed and shifted as a whole."""
    scene = textured(0)
    truth = [np.roll(scene, 2 * number, 1) for number in range(10)]
    for each in truth:
        each[MASK] = textured(1)[MASK]
    original = [np.roll(scene, 2 * number, 1) for number in range(10)]
    shifted = [(each * 0.93 + np.array([9, 4, 0])).astype(np.uint8) for each in truth]
    write(tmp_path / "film.mkv", shifted)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 10)
    write(tmp_path / "original.mkv", original)
    given = ("film.mkv", "mask.mkv", "-o", "out.mkv", "--background", "original.mkv", "--codec", "ffv1")
    assert video(tmp_path, *given) == 0
    before, after, original = (read_rgb(tmp_path / name) for name in ("film.mkv", "out.mkv", "original.mkv"))
    for number in range(10):
        assert (after[number] == original[number])[OUTSIDE].all()
        assert psnr(after[number], truth[number]) > psnr(before[number], truth[number]) + 10


def test_a_background_of_another_size_is_refused_in_a_sentence(tmp_path, capsys):
    write(tmp_path / "film.mkv", [textured()] * 3)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 3)
    write(tmp_path / "behind.mkv", [textured(size=(64, 64))] * 3)
    assert video(tmp_path, "film.mkv", "mask.mkv", "-o", "out.mkv", "--background", "behind.mkv") == 2
    assert "background is 64x64 pixels but the film 160x96" in capsys.readouterr().err
    assert not (tmp_path / "out.mkv").exists()


def film_of_two_shots(folder):
    """Two seconds of each of two scenes; the cast of the first shot's object grows."""
    frames = []
    for number in range(20):
        frame = textured(0)
        frame[MASK] = cast(frame, (1 + 0.03 * number, 1, 1 - 0.02 * number))[MASK]
        frames.append(frame)
    other = 255 - textured(2)
    other[MASK] = cast(other)[MASK]
    write(folder / "film.mkv", frames + [other] * 10, rate=10)
    write(folder / "mask.mkv", [as_picture(MASK)] * 30, rate=10)


def test_an_anchors_change_holds_for_its_whole_shot_and_no_other(tmp_path):
    film_of_two_shots(tmp_path)
    given = ("film.mkv", "mask.mkv", "--codec", "ffv1", "--foreground", "pasted", "--weights", "hdnet-lite", "-o")
    for name, anchor in {
        "none.mkv": (),
        "early.mkv": ("--anchor", "0"),
        "late.mkv": ("--anchor", "00:01-00:01.9"),
    }.items():
        assert video(tmp_path, *given, name, *anchor) == 0
    before = read_rgb(tmp_path / "film.mkv")
    none, early, late = (read_rgb(tmp_path / name) for name in ("none.mkv", "early.mkv", "late.mkv"))
    for frames in (early, late):
        assert all((one == other).all() for one, other in zip(frames[20:], none[20:]))
        # one map of colours for all frames: the same colour goes to the same colour
        first, last = ((frames[number].astype(int) - before[number])[MASK].mean(0) for number in (0, 1))
        assert np.abs(first - last).max() < 3
    shift = [np.abs(frames[0].astype(int) - before[0])[MASK].mean() for frames in (early, late)]
    assert shift[0] < shift[1]  # the first frame has no cast, so its own change is small


@pytest.mark.parametrize(
    ("anchor", "said"),
    [
        ("9", "film ends before the anchor at 9 s"),
        ("2-1", "ends before it begins"),
        ("soon", "An anchor is a time"),
        ("0", "mask is empty at the anchor at 0 s"),
    ],
)
def test_an_anchor_that_says_nothing_is_refused_in_a_sentence(tmp_path, capsys, anchor, said):
    write(tmp_path / "film.mkv", [textured()] * 10, rate=10)
    write(tmp_path / "mask.mkv", [as_picture(MASK & False)] * 5 + [as_picture(MASK)] * 5, rate=10)
    try:
        code = video(tmp_path, "film.mkv", "mask.mkv", "-o", "out.mkv", "--anchor", anchor)
    except SystemExit as stopped:
        code = stopped.code
    told = capsys.readouterr().err
    assert code == 2 and said in told and told.count("\n") == 1
    assert not (tmp_path / "out.mkv").exists()


def test_without_pyav_the_sentence_names_the_extra(tmp_path):
    script = (
        "import sys; sys.modules['av'] = None; from harmonize_composite.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    (tmp_path / "film.mkv").write_bytes(b"")
    arguments = ["video", "film.mkv", "film.mkv", "-o", "out.mkv"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr == "harmonize: this command needs PyAV; install it with: pip install 'harmonize-composite[video]'\n"
    )


def test_what_a_container_cannot_hold_is_said_and_the_rest_is_kept(tmp_path, capsys):
    write(tmp_path / "bare.mkv", [textured()] * 5, "yuv420p", "libx264", sound=True)
    subtitle = b"1\n00:00:00,000 --> 00:00:00,100\nHello\n"
    (tmp_path / "words.srt").write_bytes(subtitle)
    with (
        av.open(str(tmp_path / "bare.mkv")) as bare,
        av.open(str(tmp_path / "words.srt")) as words,
        av.open(str(tmp_path / "film.mkv"), "w") as out,
    ):
        tracks = {
            (source, each.index): out.add_stream_from_template(each)
            for source in (bare, words)
            for each in source.streams
        }
        out.add_attachment("font.ttf", "font/ttf", b"no font")
        for source in (bare, words):
            for packet in source.demux():
                if packet.size:
                    packet.stream = tracks[source, packet.stream.index]
                    out.mux(packet)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 5)

    def streams(name):
        with av.open(str(tmp_path / name)) as film:
            return [(each.type, each.codec_context.name) for each in film.streams if each.codec_context]

    assert video(tmp_path, "film.mkv", "mask.mkv", "-o", "out.mkv") == 0
    kept = [("video", "h264"), ("audio", "pcm_s16le"), ("subtitle", "srt")]
    assert streams("out.mkv") == kept
    told = capsys.readouterr().err
    assert "attachment" in told and "Sound" not in told and "Subtitles" not in told
    assert video(tmp_path, "film.mkv", "mask.mkv", "-o", "out.avi") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harmonize: ")]
    assert any("Subtitles (srt) cannot be kept in .avi" in line for line in told)
    assert streams("out.avi") == kept[:2]


def test_alpha_is_kept_where_the_codec_has_it_and_its_loss_is_said(tmp_path, capsys):
    where = rectangle(16, 80, 32, 96)
    scene = textured()
    scene[where] = cast(scene)[where]
    write(tmp_path / "film.mov", [np.dstack((scene, where.astype(np.uint8) * 255))] * 3, "argb", "qtrle")
    assert video(tmp_path, "film.mov", "film.mov", "-o", "out.mov", "--foreground", "pasted") == 0
    with av.open(str(tmp_path / "out.mov")) as film:
        frames = [frame.to_ndarray(format="rgba") for frame in film.decode(video=0)]
    assert len(frames) == 3
    for frame in frames:
        assert ((frame[..., 3] == 255) == where).all()
        assert (frame[..., :3] == scene)[~where].all() and (frame[..., :3] != scene)[where].any()
    assert "alpha" not in capsys.readouterr().err
    assert video(tmp_path, "film.mov", "film.mov", "-o", "out.mp4", "--codec", "h264") == 0
    assert "libx264 holds no alpha channel" in capsys.readouterr().err
    close = np.abs(read_rgb(tmp_path / "out.mp4")[0].astype(int) - scene)[~where]
    assert close.mean() < 4  # the right matrix: another one would be 10 off


def test_x264_works_on_whole_frames_beside_each_other(tmp_path):
    """Slices of one frame, PyAV's own choice, make larger files; x264 writes into each what it did."""
    write(tmp_path / "film.mkv", [textured(size=(480, 640))] * 3, "yuv420p", "libx264")
    write(tmp_path / "mask.mkv", [as_picture(rectangle(size=(480, 640)))] * 3, "gray")
    assert video(tmp_path, "film.mkv", "mask.mkv", "-o", "out.mp4") == 0
    assert b"sliced_threads=0" in (tmp_path / "out.mp4").read_bytes()


def test_a_container_that_does_not_hold_the_codec_is_refused_in_a_sentence(tmp_path, capsys):
    write(tmp_path / "film.mkv", [textured()] * 3)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 3)
    for name, said in {"out.webm": "does not hold ffv1", "out.gif": "must end in one of"}.items():
        assert (
            main(["video", *(str(tmp_path / each) for each in ("film.mkv", "mask.mkv")), "-o", str(tmp_path / name)])
            == 2
        )
        assert said in capsys.readouterr().err
        assert not (tmp_path / name).exists()


def test_an_interruption_leaves_no_file(tmp_path, capsys, monkeypatch):
    from harmonize_composite.files import video_frames

    write(tmp_path / "film.mkv", [textured()] * 30)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 30)
    made = []

    def interrupted(frame, *_):
        made.append(frame)
        if len(made) > 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(video_frames.MaskedFrame, "change", interrupted)
    arguments = ("film.mkv", "mask.mkv", "-o", "out.mkv", "--foreground", "pasted", "--strength", "2")
    assert video(tmp_path, *arguments) == 130
    assert "interrupted" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mkv", "mask.mkv"]


def test_two_runs_give_the_same_samples(tmp_path):
    film_of_two_shots(tmp_path)
    for name in ("one.mkv", "two.mkv"):
        assert video(tmp_path, "film.mkv", "mask.mkv", "-o", name, "--codec", "ffv1") == 0
    assert all((one == two).all() for one, two in zip(read(tmp_path / "one.mkv"), read(tmp_path / "two.mkv")))
