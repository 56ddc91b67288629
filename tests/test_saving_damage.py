"""Damaged and hostile files are refused by one error, soon and in little memory; a save that fails
leaves the old file whole."""

import contextlib
import copy
import errno
import functools
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from counts import and_slow

from minicnn import Input, Sequential, models
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten
from minicnn.saving import SavedFileError, archive, atomic, hdf5, state

SECONDS, MEGABYTES = 1.0, 64  # seconds of the processor: a busy machine takes longer by the clock


def network():
    model = Sequential(
        [
            Input((6, 6, 1)),
            Conv2D(2, 3, activation="relu"),
            BatchNormalization(),
            Dropout(0.2),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.random.default_rng(0).random((8, 6, 6, 1)), np.zeros(8), verbose=0)
    return model


@functools.cache
def trained():
    """The model that is saved. Made when a test asks: to train it compiles kernels."""
    return network()


ENDINGS = (".keras", ".weights.h5", ".npz")


def content(ending, folder):
    path = folder / f"good{ending}"
    (trained().save if ending == ".keras" else trained().save_weights)(path)
    return path.read_bytes()


def everything(model):
    """All that two equal models have in common, for comparison."""
    numbers = [weight.tobytes() for weight in model.get_weights()]
    slots = {name: vector.tobytes() for name, vector in model.optimizer.state.items()}
    random_state = (model.rng.bit_generator.state, model.layers[2].stream_key, model.steps_taken)
    return (model.get_config(), numbers, slots, model.optimizer.get_config(), random_state)


def is_the_same(path):
    """Whether the file loads as the model that was saved; SavedFileError if it is refused."""
    if path.name.endswith(".keras"):
        return everything(models.load_model(path)) == everything(trained())
    model = models.clone_model(trained())
    before = [weight.tobytes() for weight in model.get_weights()]
    try:
        model.load_weights(path)
    except SavedFileError:
        assert before == [weight.tobytes() for weight in model.get_weights()]
        raise
    return everything(model)[1] == everything(trained())[1]


def damaged(good, draw):
    """A file with flipped bits, bytes of another place, or its end cut off."""
    bad = bytearray(good)
    place = draw.randrange(len(bad))
    way = draw.randrange(5)
    if way == 0:
        bad[place] ^= 1 << draw.randrange(8)
    elif way == 1:
        for _ in range(draw.randrange(2, 20)):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
    elif way == 2:
        del bad[place:]
    elif way == 3:
        length, source = draw.randrange(1, 4096), draw.randrange(len(bad))
        bad[place : place + length] = bad[source : source + length]
    else:
        length = draw.randrange(1, 64)
        bad[place : place + length] = bytes(length)
    return bytes(bad)


def repacked(good, name, change):
    """A `.keras` file with a member changed, and all checksums right again."""
    members = {key: bytes(value) for key, value in archive.unpacked(good).items()}
    members[name] = change(members[name])
    if name != archive.PRIVATE:
        private = json.loads(members.pop(archive.PRIVATE))
        private["sha256"] = archive.sha256(members)
        members[archive.PRIVATE] = json.dumps(private).encode()
    return archive.packed(members)


# -- chance ---------------------------------------------------------------------------------------


def expect_refused_or_the_same(ending, count, seed, folder):
    good, draw = content(ending, folder), random.Random(seed)
    path = folder / f"bad{ending}"
    refused = 0
    for _ in range(count):
        bad = damaged(good, draw)
        path.write_bytes(bad)
        start = time.process_time()
        try:
            assert is_the_same(path)
        except SavedFileError:
            refused += 1
        assert time.process_time() - start < SECONDS
    assert refused > count / 2


@pytest.mark.parametrize("ending", and_slow([*ENDINGS][:1], [*ENDINGS][1:], "in_ci"))
def test_damaged_files(ending, tmp_path):
    expect_refused_or_the_same(ending, 150, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ending", ENDINGS)
def test_ten_thousand_damaged_files(ending, seed, tmp_path):
    expect_refused_or_the_same(ending, 420, 100 + seed, tmp_path)


@pytest.mark.parametrize("member", [name for name in archive.KNOWN if name != archive.RUN])
def test_damage_behind_right_checksums_raises_nothing_else(member, tmp_path):
    good, draw = content(".keras", tmp_path), random.Random(2)
    path = tmp_path / "bad.keras"
    for _ in range(100):
        path.write_bytes(repacked(good, member, lambda old: damaged(old, draw)))
        start = time.process_time()
        with warnings.catch_warnings(), contextlib.suppress(SavedFileError):
            warnings.simplefilter("ignore")
            models.load_model(path)
        assert time.process_time() - start < SECONDS


def test_a_member_of_another_file(tmp_path):
    other = network()
    other.save(tmp_path / "other.keras")
    members = {k: bytes(v) for k, v in archive.unpacked(content(".keras", tmp_path)).items()}
    theirs = archive.unpacked((tmp_path / "other.keras").read_bytes())
    for name in (archive.CONFIG, archive.WEIGHTS):
        mixed = {**members, name: bytes(theirs[name])}
        (tmp_path / "mixed.keras").write_bytes(archive.packed(mixed))
        with pytest.raises(SavedFileError, match="SHA-256"):
            models.load_model(tmp_path / "mixed.keras")
    del members[archive.PRIVATE]
    (tmp_path / "mixed.keras").write_bytes(archive.packed(members))
    with pytest.raises(SavedFileError, match="no minicnn.json"):
        models.load_model(tmp_path / "mixed.keras")


# -- intent ---------------------------------------------------------------------------------------


def expect_refused(path, message):
    """In a second and 64 MB."""
    whole = path.name.endswith(".keras")
    load = models.load_model if whole else models.clone_model(trained()).load_weights
    start = time.process_time()
    with pytest.raises(SavedFileError, match=message) as caught:
        load(path)
    assert time.process_time() - start < SECONDS
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 3000
    tracemalloc.start()  # by which everything takes longer
    try:
        with pytest.raises(SavedFileError):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
    finally:
        tracemalloc.stop()


def edited(change):
    """A change of a config as a change of its bytes."""

    def edit(old):
        config = json.loads(old)
        return json.dumps(change(config) or config).encode()

    return edit


def layer(config, number):
    return config["config"]["layers"][number]


def many_layers(config):
    entry = {"class_name": "Flatten", "config": {"name": "f"}}
    config["config"]["layers"] += [entry] * 90_000


def some_layers(config):
    entry = {"class_name": "Flatten", "config": {"name": "f"}}
    config["config"]["layers"] += [entry] * 5000


def layers_in_models(config):
    """No list is long, and all of them together are."""
    entry = {"class_name": "Flatten", "config": {"name": "f"}}
    inner = {"name": "m", "layers": [entry] * 100}
    model = {"module": "keras", "class_name": "Sequential", "config": inner}
    config["config"]["layers"] += [model] * 100


def nested_models(config):
    for _ in range(200):
        inner = {"name": "m", "layers": [config]}
        config = {"module": "keras", "class_name": "Sequential", "config": inner}
    return config


def units(n):
    def change(config):
        layer(config, 5)["config"]["units"] = n

    return change


def another_class(module, name):
    def change(config):
        layer(config, 5).update(module=module, class_name=name, registered_name=name)

    return change


def another_setting(number, key, value):
    def change(config):
        layer(config, number)["config"][key] = value

    return change


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA", None, None]}}

HOSTILE_CONFIGS = {
    "a layer of a billion units": (edited(units(10**9)), "as many numbers as the file holds"),
    "units beyond all numbers": (edited(units(10**300)), "units"),
    "a number of a million digits": (
        lambda old: old.replace(b'"units": 3', b'"units": ' + b"3" * 10**6),
        "digits",
    ),
    "90,000 layers": (edited(many_layers), "longer than"),
    "5000 layers": (edited(some_layers), "at most 1000 layers"),
    "10,000 layers in models inside": (edited(layers_in_models), "at most 1000 layers"),
    "lists without end": (lambda old: b"[" + b"[]," * 10**6 + b"1]", "lists and dicts"),
    "a config of 100 MB": (lambda old: b'{"a": "' + b"x" * 10**7 + b'"}', "longer than"),
    "models in models": (edited(nested_models), "levels deep"),
    "deep lists": (lambda old: b"[" * 10**5 + b"]" * 10**5, "levels deep"),
    "a key twice": (lambda old: old.replace(b'"units": 3', b'"units": 3, "units": 4'), "twice"),
    "not a number": (lambda old: old.replace(b'"units": 3', b'"units": NaN'), "NaN"),
    "no config": (lambda old: b"[]", "expected a model"),
    "no JSON": (lambda old: b"\x80\x04.", "no JSON"),
    "a module to import": (edited(another_class("os", "system")), "'system' of 'os'"),
    "a class of the package that is no layer": (
        edited(another_class("keras.layers", "Sequential2")),
        "Sequential2",
    ),
    "Keras's Lambda": (edited(another_class("keras.layers", "Lambda")), "Lambda"),
    "the code of a lambda": (edited(another_setting(1, "activation", LAMBDA)), "never run"),
    "a function": (
        edited(another_setting(1, "activation", {"class_name": "function", "config": "eval"})),
        "'eval' is not known",
    ),
    "a rate of another class": (
        edited(another_setting(5, "kernel_initializer", {"class_name": 3, "config": {}})),
        "class_name",
    ),
}


LONG_CONFIGS = ["lists without end", "10,000 layers in models inside"]  # take seconds


@pytest.mark.parametrize(
    "name", and_slow(sorted(HOSTILE_CONFIGS.keys() - {*LONG_CONFIGS}), LONG_CONFIGS, "in_ci")
)
def test_hostile_configs(name, tmp_path):
    change, message = HOSTILE_CONFIGS[name]
    path = tmp_path / "hostile.keras"
    path.write_bytes(repacked(content(".keras", tmp_path), archive.CONFIG, change))
    expect_refused(path, message)


def zipped(members, compression=zipfile.ZIP_STORED):
    memory = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(memory, "w", compression) as file:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, value in members:
            file.writestr(name, value)
    return memory.getvalue()


def members_of(folder):
    return [(k, bytes(v)) for k, v in archive.unpacked(content(".keras", folder)).items()]


@pytest.mark.in_ci
def test_zip_bombs(tmp_path):
    path = tmp_path / "bomb.keras"
    path.write_bytes(zipped([("config.json", bytes(10**8))], zipfile.ZIP_DEFLATED))
    expect_refused(path, "compressed|damaged")
    path.write_bytes(zipped([(f"{n}", b"") for n in range(60_000)]))
    expect_refused(path, "60000 members")
    members = members_of(tmp_path)
    path.write_bytes(zipped([*members, members[1]]))
    expect_refused(path, "config.json twice")


def test_members_with_strange_names_are_ignored(tmp_path):
    path = tmp_path / "strange.keras"
    strange = [("../../evil", b"x"), ("/etc/evil", b"x"), ("assets/a", b"x"), ("a" * 5000, b"x")]
    path.write_bytes(zipped([*members_of(tmp_path), *strange]))
    assert is_the_same(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["good.keras", "strange.keras"]


def hdf5_file(write, folder):
    """The bare weights of the model, with what `write` changes in them."""
    good = folder / "w.weights.h5"
    model = models.clone_model(trained())
    model.save_weights(good)
    with h5py.File(good, "a") as file:
        for place in (file, file["vars"]):
            del place.attrs["minicnn_sha256"]  # anyone can leave the digest out
        kernel = file["layers/dense/vars/0"][()]
        del file["layers/dense/vars/0"]
        write(file["layers/dense/vars"], kernel)
    return good


def external_storage(group, kernel):
    group.create_dataset("0", kernel.shape, kernel.dtype, external=[("/etc/passwd", 0, 10**6)])


def virtual(group, kernel):
    layout = h5py.VirtualLayout(kernel.shape, kernel.dtype)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", kernel.shape)
    group.create_virtual_dataset("0", layout)


def linked(link):
    def write(group, kernel):
        group["0"] = link

    return write


HOSTILE_ARRAYS = {
    "an external link": (linked(h5py.ExternalLink("/etc/passwd", "/")), "elsewhere|HDF5"),
    "a soft link": (linked(h5py.SoftLink("/layers/dense/vars/1")), "elsewhere"),
    "a link to a group above": (lambda g, k: g.__setitem__("0", g.parent), "two links"),
    "a link to another array": (lambda g, k: g.__setitem__("0", g["1"]), "two links"),
    "external storage": (external_storage, "other files"),
    "a virtual array": (virtual, "one piece|message|HDF5"),
    "a compressed array": (
        lambda g, k: g.create_dataset("0", data=k, compression="gzip"),
        "filter",
    ),
    "an array in chunks of 8 PiB": (
        lambda g, k: g.create_dataset("0", (2**50,), "f8", chunks=(2**20,)),
        "one piece",
    ),
    "8 PiB that are not there": (lambda g, k: g.create_dataset("0", (2**50,), "f8"), "outside"),
    "texts": (lambda g, k: g.create_dataset("0", data=["a"] * k.size), "numbers"),
    "complex numbers": (lambda g, k: g.create_dataset("0", data=k.astype("c8")), "numbers"),
    "big-endian numbers": (lambda g, k: g.create_dataset("0", data=k.astype(">f4")), "numbers"),
    "integers": (lambda g, k: g.create_dataset("0", data=k.astype("i4")), "int32"),
    "another shape": (lambda g, k: g.create_dataset("0", data=k.T), "do not fit together"),
    "nothing": (lambda g, k: None, "do not fit together"),
    "one more": (
        lambda g, k: (g.create_dataset("0", data=k), g.create_dataset("2", data=k)),
        "do not fit together",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_ARRAYS)
def test_hostile_arrays(name, tmp_path):
    write, message = HOSTILE_ARRAYS[name]
    expect_refused(hdf5_file(write, tmp_path), message)


@pytest.mark.parametrize("place", ["layers/dense/vars/0", "optimizer/vars/2"])
@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38])
@pytest.mark.parametrize("ending", ENDINGS)
def test_numbers_that_would_become_infinite(ending, value, place, tmp_path):
    if ending == ".npz":
        path = tmp_path / "w.npz"
        arrays = {weight.path: weight.value.astype("f8") for weight in trained().weights}
        next(iter(arrays.values())).flat[0] = value
        np.savez(path, **arrays)
        place = "conv2d"
    else:
        members = {k: bytes(v) for k, v in members_of(tmp_path)}
        stored = hdf5.read(members[archive.WEIGHTS])
        arrays = {one: stored[one] for one in stored.stored}
        arrays[place] = arrays[place].astype("f8")
        arrays[place].flat[0] = value
        path = tmp_path / f"w{ending}"
        weights = hdf5.written(state.groups(trained()), arrays)
        path.write_bytes(weights)
        if ending == ".keras":
            good = content(ending, tmp_path)
            path.write_bytes(repacked(good, archive.WEIGHTS, lambda old: weights))
    load = models.load_model if ending == ".keras" else copy.deepcopy(trained()).load_weights
    with pytest.raises(SavedFileError, match=f"{place}.*largest number of the model's float32"):
        load(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_training_has_come_to_is_saved_faithfully(ending, tmp_path):
    """NaN and infinity are refused when they are set; they can be written into the arrays."""
    model = copy.deepcopy(trained())
    model.layers[-1].params["W"][0, :3] = np.nan, np.inf, -np.inf
    path = tmp_path / f"model{ending}"
    (model.save if ending == ".keras" else model.save_weights)(path)
    if ending == ".keras":
        loaded = models.load_model(path)
    else:
        loaded = models.clone_model(trained())
        loaded.load_weights(path)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("number", [np.nan, np.inf, -0.5])
def test_a_rate_that_is_none_changes_nothing(number, tmp_path):
    members = {k: bytes(v) for k, v in members_of(tmp_path)}
    stored = hdf5.read(members[archive.WEIGHTS])
    arrays = {one: stored[one] for one in stored.stored}
    arrays["optimizer/vars/1"] = np.float32(number)
    path = tmp_path / "w.weights.h5"
    path.write_bytes(hdf5.written(state.groups(trained()), arrays))
    model = copy.deepcopy(trained())
    model.set_weights([weight + 1 for weight in model.get_weights()])
    before = everything(model)
    with pytest.raises(SavedFileError, match="learning rate"):
        model.load_weights(path)
    assert everything(model) == before


def test_infinite_weights_are_no_damage(tmp_path):
    path = hdf5_file(lambda g, k: g.create_dataset("0", data=np.full_like(k, np.nan)), tmp_path)
    model = models.clone_model(trained())
    model.load_weights(path)
    assert np.isnan(model.get_weights()[-2]).all()


class Marks:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_nothing_is_unpickled(tmp_path):
    marker = tmp_path / "marker"
    path = tmp_path / "w.npz"
    arrays = {weight.path: weight.value for weight in trained().weights}
    first = next(iter(arrays))
    with path.open("wb") as file:
        np.savez(file, **{**arrays, first: np.array([Marks(marker)], object)})
    expect_refused(path, "holds object")
    assert not marker.exists()
    np.load(path, allow_pickle=True)[first]
    assert marker.exists()  # the test can fail


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_large_file_of_another_kind_is_not_read(ending, tmp_path):
    path = tmp_path / f"large{ending}"
    with path.open("wb") as file:
        file.truncate(10**11)  # without taking room
    expect_refused(path, "HDF5|zip archive")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.keras")
    with pytest.raises(SavedFileError, match="device"):
        models.load_model(tmp_path / "fifo.keras")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(IsADirectoryError):
        models.load_model(tmp_path / "folder.keras")
    for ending in ENDINGS:
        path = tmp_path / f"empty{ending}"
        path.write_bytes(b"")
        expect_refused(path, "HDF5|zip archive")


# -- writing --------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_leaves_the_old_file(ending, tmp_path):
    old = content(ending, tmp_path)
    path = tmp_path / f"good{ending}"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="[Ff]ile too large"):
            (trained().save if ending == ".keras" else trained().save_weights)(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == old
    assert names(tmp_path) == [path.name]


def test_a_device_is_not_replaced(tmp_path):
    (tmp_path / "model.keras").symlink_to("/dev/full")
    with pytest.raises(OSError, match="device"):
        trained().save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").is_symlink()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        trained().save(tmp_path / "absent" / "model.keras")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("letter", ["n", "\u00e4", "["])
def test_names_as_long_as_the_file_system_takes(letter, ending, tmp_path):
    stem = letter * ((255 - len(ending)) // len(letter.encode()))
    path = tmp_path / f"{stem}{ending}"
    descriptor, part = atomic.new_part(path)
    os.close(descriptor)  # as if its process had been killed
    for _ in range(2):
        (trained().save if ending == ".keras" else trained().save_weights)(path)
        assert names(tmp_path) == [path.name]
    assert is_the_same(path)
    assert not part.exists()


def on_a_read_only_disk(monkeypatch, call):
    """The error of `call` on a file system that is mounted read-only; root is refused as well."""
    opened = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(path))
        return opened(path, flags, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="Read-only file system") as caught:
            call()
    return caught.value


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_read_only_disk_leaves_the_old_file(ending, monkeypatch, tmp_path):
    old, path = content(ending, tmp_path), tmp_path / f"good{ending}"
    save = trained().save if ending == ".keras" else trained().save_weights
    error = on_a_read_only_disk(monkeypatch, lambda: save(path))
    assert f"good{ending}" in str(error)
    assert path.read_bytes() == old
    assert names(tmp_path) == [path.name]


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs a folder that takes no files")
def test_a_folder_of_the_system_that_takes_no_files():
    with pytest.raises(OSError, match=r"/proc/.*model\.keras"):
        trained().save("/proc/model.keras")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    old = content(".keras", tmp_path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            trained().save(tmp_path / "good.keras")
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / "good.keras").read_bytes() == old


def test_links_and_permissions_stay(tmp_path):
    trained().save(tmp_path / "model.keras")
    (tmp_path / "model.keras").chmod(0o640)
    (tmp_path / "link.keras").symlink_to("model.keras")
    before = (tmp_path / "model.keras").stat().st_ino
    trained().save(tmp_path / "link.keras")
    after = (tmp_path / "model.keras").stat()
    assert (tmp_path / "link.keras").is_symlink()
    assert after.st_ino != before
    assert after.st_mode & 0o777 == 0o640


SAVER = """
import sys
import numpy as np
from minicnn import Input, Sequential
from minicnn.layers import Dense
model = Sequential([Input((500,)), Dense(400)])
print("ready", flush=True)
for k in range(10**6):
    model.set_weights([np.full((500, 400), k), np.full(400, k)])
    model.save(sys.argv[1])
"""


def kill_while_saving(folder, count, seed):
    draw, path = random.Random(seed), folder / "model.keras"
    debris = 0
    for _ in range(count):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE)
        assert saver.stdout.readline() == b"ready\n"
        while not path.exists():
            time.sleep(0.001)
        if draw.random() < 0.5:
            time.sleep(draw.uniform(0, 0.1))
        else:  # in the middle of a file, however few of its turns a busy machine gives the saver
            while names(folder) == [path.name]:
                pass
        saver.kill()
        saver.communicate()
        kernel, bias = models.load_model(path).get_weights()
        assert (kernel == bias[0]).all()
        debris += names(folder) != [path.name]
        models.load_model(path).save(path)
        assert names(folder) == [path.name]  # the next save has cleared up
    return debris


@pytest.mark.in_ci
def test_killed_while_saving(tmp_path):
    kill_while_saving(tmp_path, 3, 1)


@pytest.mark.slow
def test_killed_fifty_times(tmp_path):
    assert kill_while_saving(tmp_path, 50, 2) > 0  # some were in the middle of a file


def test_the_part_of_a_living_process_is_left_alone(tmp_path):
    path = tmp_path / "model.keras"
    descriptor, part = atomic.new_part(path)
    trained().save(path)
    assert part.exists()
    os.close(descriptor)
    trained().save(path)
    assert names(tmp_path) == ["model.keras"]
