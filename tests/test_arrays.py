"""tinyvit.arrays: which module an array belongs to, the way to the device and back; and the strict stand-in's rules."""

import sys

import numpy as np
import pytest

from tests import strict
from tinyvit.arrays import choose_device, gpu_module, to_device, to_host, xp_of
from tinyvit.errors import DeviceError


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.fixture
def no_gpu(monkeypatch, strict_as_cupy):
    monkeypatch.setattr(strict_as_cupy.cuda, "is_available", lambda: False)


def test_xp_of_an_array_is_its_module(xp):
    x = xp.ones((2, 3))
    assert xp_of(x) is xp
    assert xp_of(x[0]) is xp
    assert xp_of(x.sum()) is xp  # a NumPy scalar, or a device array without axes


def test_a_tree_travels_to_the_device_and_back(strict_as_cupy):
    tree = {"w": np.arange(6.0).reshape(2, 3), "blocks": [{"b": np.ones(2, np.float32)}]}
    there = to_device(tree, "gpu")
    assert type(there["w"]) is type(there["blocks"][0]["b"]) is strict.ndarray
    assert to_device(there, "gpu")["w"] is there["w"], "what is there already is not copied"
    back = to_host(there)
    np.testing.assert_array_equal(back["w"], tree["w"])
    assert back["blocks"][0]["b"].dtype == np.float32
    there["w"] += 1
    assert tree["w"][0, 0] == back["w"][0, 0] == 0, "neither copy shares memory with the device"
    assert type(to_device(there, "cpu")["w"]) is np.ndarray


def test_a_single_array_travels_too(strict_as_cupy):
    x = np.ones(3)
    np.testing.assert_array_equal(to_host(to_device(x, "auto")), x)
    assert to_host(x) is x


def test_dropout_masks_travel_even_where_there_are_none(strict_as_cupy):
    from tinyvit.models.config import ViTConfig
    from tinyvit.models.vit import vit_masks

    masks = vit_masks(None, ViTConfig(dropout=0.0), 2)
    assert not to_device(masks, "gpu")
    assert not to_host(masks)


def test_choose_device_with_a_gpu(strict_as_cupy):
    assert [choose_device(d) for d in ("cpu", "gpu", "auto")] == ["cpu", "gpu", "gpu"]
    assert gpu_module() is strict_as_cupy


@pytest.mark.parametrize("missing, text", [("no_cupy", "CuPy is not installed"), ("no_gpu", "finds no CUDA device")])
def test_choose_device_without_a_gpu(missing, text, request):
    request.getfixturevalue(missing)
    assert [choose_device(d) for d in ("cpu", "auto")] == ["cpu", "cpu"]
    for use_gpu in (choose_device, lambda device: to_device(np.ones(2), device)):
        with pytest.raises(DeviceError, match=f"no GPU: .*{text}.*--device cpu") as error:
            use_gpu("gpu")
        assert "\n" not in str(error.value) and error.value.exit_code == 1


def test_an_unknown_device_is_named():
    with pytest.raises(DeviceError, match="unknown device 'tpu': expected one of cpu, gpu, auto"):
        choose_device("tpu")


# The stand-in is only worth something if it is as strict as CuPy.

DEVICE, HOST = strict.array(np.arange(1.0, 7).reshape(2, 3)), np.ones((2, 3))


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(lambda: np.asarray(DEVICE), id="asarray"),
        pytest.param(lambda: np.array([DEVICE, DEVICE]), id="array of arrays"),
        pytest.param(lambda: DEVICE + HOST, id="device + host"),
        pytest.param(lambda: HOST + DEVICE, id="host + device"),
        pytest.param(lambda: HOST @ DEVICE.T, id="host @ device"),
        pytest.param(lambda: DEVICE == HOST, id="device == host"),
        pytest.param(lambda: DEVICE + [1, 2, 3], id="device + list"),
        pytest.param(lambda: HOST.__iadd__(DEVICE), id="host += device"),
        pytest.param(lambda: DEVICE.__iadd__(HOST), id="device += host"),
        pytest.param(lambda: np.add(DEVICE, HOST), id="ufunc of both"),
        pytest.param(lambda: np.exp(HOST, out=DEVICE), id="ufunc of host into device"),
        pytest.param(lambda: np.exp(DEVICE, out=HOST), id="ufunc of device into host"),
        pytest.param(lambda: np.vecdot(DEVICE, DEVICE), id="ufunc that CuPy lacks"),
        pytest.param(lambda: np.sum(DEVICE), id="np.sum"),
        pytest.param(lambda: np.zeros_like(DEVICE), id="np.zeros_like"),
        pytest.param(lambda: np.concatenate([DEVICE, DEVICE]), id="np.concatenate"),
        pytest.param(lambda: DEVICE[np.array([0, 1])], id="device[host]"),
        pytest.param(lambda: HOST[strict.array([0, 1])], id="host[device]"),
        pytest.param(lambda: DEVICE.__setitem__(0, HOST[0]), id="device[0] = host"),
        pytest.param(lambda: HOST.__setitem__(0, DEVICE[0]), id="host[0] = device"),
        pytest.param(lambda: strict.module.exp(HOST), id="xp.exp of host"),
        pytest.param(lambda: strict.module.concatenate([DEVICE, HOST]), id="xp.concatenate of both"),
        pytest.param(lambda: DEVICE.sum(out=HOST), id="method into host"),
    ],
)
def test_the_stand_in_refuses_to_mix_host_and_device(mistake):
    with pytest.raises((TypeError, IndexError)):
        mistake()


@pytest.mark.parametrize("name", ["errstate", "vecdot", "unstack", "fromiter_of_nothing", "_core"])
def test_the_stand_in_lacks_what_cupy_lacks(name):
    assert not hasattr(strict.module, name)


def test_the_stand_ins_generator_lacks_what_cupys_lacks():
    rng = strict.module.random.default_rng(0)
    assert type(rng.standard_normal((2, 3))) is strict.ndarray
    for name in ("normal", "permutation", "shuffle", "choice"):
        assert not hasattr(rng, name)


def test_the_stand_in_refuses_what_no_gpu_holds(strict_as_cupy):
    for thing in (None, "text", object()):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            strict.asarray(thing)


def test_reductions_and_elements_stay_on_the_device(xp):
    x = xp.asarray(np.arange(6.0).reshape(2, 3))
    for value in (x.sum(), x[1, 2], xp.sqrt(x[0, 1]), x.sum() / 2, xp.einsum("ij,ij->", x, x)):
        assert value.shape == () and isinstance(value, np.generic if xp is np else xp.ndarray)


def test_in_place_operators_are_in_place_and_slices_are_views(xp):
    x = xp.zeros((2, 3))
    same = x
    x += 1
    x[:, 1] *= 5
    x.reshape(3, 2)[0] += 10  # [[10, 10], ...] in the new shape
    x.T[2] -= 1
    np.multiply(x, 2, out=x)
    assert same is x
    np.testing.assert_array_equal(to_host(x), [[22, 30, 0], [2, 10, 0]])


def test_waits_for_the_device_are_counted():
    x = strict.array([1.0, 2.0])
    strict.SYNCHRONISATIONS.clear()
    assert (x * 2 + x[0]).sum().shape == ()
    assert not strict.SYNCHRONISATIONS
    assert (float(x[0]), int(x[1]), bool(x[0] > 0), x[1].item(), x.tolist()) == (1.0, 2, True, 2.0, [1.0, 2.0])
    assert len(x.get()) == len(strict.module.asnumpy(x)) == len(x[x > 0]) == 2
    waits = dict(strict.SYNCHRONISATIONS)
    assert waits == {"float": 1, "int": 1, "bool": 1, "item": 1, "tolist": 1, "get": 2, "mask": 1}
