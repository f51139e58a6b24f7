"""agent/spec/resources.py: labels from facts, and inventories that survive the wire."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DamagedError
from agent.spec.resources import Disk, Gpu, GpuLink, Inventory, derive_labels, inventory_from_json, to_json

PLAIN = Inventory("box", "Linux", "Debian 12", "X64", "6.1", "EPYC", 8, 2**34)


def gpu(name: str, **facts: object) -> Gpu:
    return Gpu(index=0, uuid="GPU-1", name=name, **facts)


def with_gpus(*gpus: Gpu) -> Inventory:
    return Inventory("box", "Linux", "Debian 12", "X64", "6.1", "EPYC", 8, 2**34, gpus=gpus)


def test_a_machine_without_gpus_has_githubs_three_labels():
    assert derive_labels(PLAIN) == ("self-hosted", "linux", "x64")


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("NVIDIA H200", ("h200",)),
        ("NVIDIA GeForce RTX 4090", ("rtx-4090",)),
        ("NVIDIA A100-SXM4-80GB", ("a100", "a100-80gb")),
        ("NVIDIA A100 80GB PCIe", ("a100", "a100-80gb")),
        ("NVIDIA H100 80GB HBM3", ("h100", "h100-80gb")),
        ("NVIDIA H100 NVL", ("h100",)),
        ("Tesla V100-SXM2-16GB", ("v100", "v100-16gb")),
        ("Tesla T4", ("t4",)),
        ("NVIDIA RTX 6000 Ada Generation", ("rtx-6000-ada",)),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", ("rtx-pro-6000-blackwell",)),
        ("NVIDIA GeForce RTX 3080 Ti Laptop GPU", ("rtx-3080-ti-laptop",)),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", ("a100", "a100-40gb", "mig-1g.5gb")),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", ("h100", "h100-80gb", "mig-1g.10gb+me")),
        ("NVIDIA Graphics Device", ()),
        ("", ()),
    ],
)
def test_a_gpus_product_name_becomes_labels(name: str, labels: tuple[str, ...]):
    assert derive_labels(with_gpus(gpu(name))) == ("self-hosted", "linux", "x64", "gpu", "nvidia", *labels)


def test_cuda_and_mig_add_labels_once_for_all_gpus():
    inventory = with_gpus(
        gpu("NVIDIA H200", cuda="12.8"), gpu("NVIDIA H200", cuda="12.8", mig_parent="GPU-0")
    )
    expected = ("self-hosted", "linux", "x64", "gpu", "nvidia", "cuda", "cuda-12", "h200", "mig")
    assert derive_labels(inventory) == expected


TEXT = st.text(max_size=8)
COUNT = st.integers(min_value=0, max_value=2**60)
GPUS = st.builds(
    Gpu,
    index=COUNT,
    uuid=TEXT,
    name=TEXT,
    memory_bytes=st.none() | COUNT,
    driver=st.none() | TEXT,
    cuda=st.none() | TEXT,
    compute_capability=st.none() | TEXT,
    mig_parent=st.none() | TEXT,
    pci_bus_id=st.none() | TEXT,
    withheld=TEXT,
    mig_profile=st.none() | TEXT,
    gpu_instance=st.none() | COUNT,
    ecc=st.none() | st.booleans(),
    ecc_uncorrected=st.none() | COUNT,
    throttling=st.none() | st.lists(TEXT, max_size=2).map(tuple),
    power_limit_watts=st.none() | st.floats(0, 1e6),
    nvlinks=st.none() | COUNT,
)
INVENTORIES = st.builds(
    Inventory,
    hostname=TEXT,
    os=TEXT,
    os_version=TEXT,
    arch=TEXT,
    kernel=TEXT,
    cpu_model=TEXT,
    cpu_count=COUNT,
    memory_bytes=COUNT,
    disks=st.lists(st.builds(Disk, path=TEXT, total_bytes=COUNT, free_bytes=COUNT), max_size=3).map(tuple),
    gpus=st.lists(GPUS, max_size=3).map(tuple),
    tools=st.dictionaries(TEXT, TEXT, max_size=3),
    problems=st.lists(TEXT, max_size=3).map(tuple),
    links=st.lists(st.builds(GpuLink, first=TEXT, second=TEXT, kind=TEXT), max_size=3).map(tuple),
)


@given(INVENTORIES)
def test_an_inventory_survives_json(inventory: Inventory):
    assert inventory_from_json(json.loads(json.dumps(to_json(inventory)))) == inventory


def test_what_a_gpu_can_compute_and_that_it_has_nvlinks_are_labels():
    with_links = gpu("NVIDIA H200", compute_capability="9.0", nvlinks=18)
    assert derive_labels(with_gpus(with_links))[3:] == ("gpu", "nvidia", "h200", "sm-90", "nvlink")
    alone = gpu("NVIDIA RTX PRO 6000", compute_capability="12.0", nvlinks=0)
    assert derive_labels(with_gpus(alone))[3:] == ("gpu", "nvidia", "rtx-pro-6000", "sm-120")


def test_a_profile_that_the_name_does_not_tell_is_a_label():
    instance = gpu("NVIDIA A100", mig_parent="GPU-0", mig_profile="3g.20gb")
    assert "mig-3g.20gb" in derive_labels(with_gpus(instance))


@given(INVENTORIES)
def test_labels_are_lower_case_and_not_doubled(inventory: Inventory):
    labels = derive_labels(inventory)
    assert len(set(labels)) == len(labels)
    assert all(label == label.lower() for label in labels)


def test_unknown_keys_are_passed_over_and_missing_lists_are_empty():
    data = to_json(PLAIN) | {"from_the_future": {"x": 1}}
    for key in ("disks", "gpus", "tools", "problems", "links"):
        del data[key]
    assert inventory_from_json(data) == PLAIN


def test_any_nvlink_is_closer_than_any_way_over_pcie():
    words = ["?", "SYS", "NODE", "PHB", "PXB", "PIX", "PSB", "NV1", "NV4", "NV18"]
    closeness = [GpuLink("a", "b", word).closeness for word in words]
    assert closeness == sorted(set(closeness))
    assert closeness[0] == 0


def test_a_gpu_of_an_agent_that_knows_of_no_withholding_is_offered():
    gpu = {"index": 0, "uuid": "GPU-a", "name": "NVIDIA H200"}
    [old] = inventory_from_json(to_json(PLAIN) | {"gpus": [gpu]}).gpus
    assert (old.withheld, old.numa_node, old.throttling) == ("", None, None)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"hostname": None}, "hostname"),
        ({"cpu_count": "8"}, "cpu_count"),
        ({"cpu_count": True}, "cpu_count"),
        ({"memory_bytes": -1}, "memory_bytes"),
        ({"gpus": {}}, "gpus"),
        ({"gpus": [1]}, "gpus"),
        ({"gpus": [{"index": 0, "uuid": "u", "name": "n", "driver": 5}]}, "driver"),
        ({"gpus": [{"index": 0, "uuid": "u", "name": "n", "memory_bytes": 1.5}]}, "memory_bytes"),
        ({"disks": [{"path": "/"}]}, "total_bytes"),
        ({"tools": {"git": 2}}, "tools"),
        ({"tools": {1: "2"}}, "tools"),
        ({"problems": [3]}, "problems"),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_its_key(change: dict, key: str):
    with pytest.raises(DamagedError) as caught:
        inventory_from_json(to_json(PLAIN) | change)
    assert caught.value.where.startswith("inventory")
    assert key in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_what_is_no_object_is_no_inventory(data: object):
    with pytest.raises(DamagedError):
        inventory_from_json(data)
