"""What holds for any pod: twice is once, nothing of the user's own is changed, nothing else is touched."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.edge.runtimes import describe
from proxy.injector import names
from proxy.injector.patch import Injected, inject
from tests.injector.pods import patched, plan, pod, variables

MODES = st.sampled_from(["hosts", "env", "redirect"])
SPELLINGS = sorted({name for each in describe() for name in (each.name, each.name.lower(), each.name.upper())})
ENTRIES = st.lists(
    st.builds(
        lambda name, value: {"name": name, "value": value},
        st.sampled_from([*SPELLINGS, "ALL_PROXY", "MINE"]),
        st.sampled_from(["", "x", "/etc/skinflint/trust/bundle.pem", "http://127.0.0.1:19180"]),
    ),
    max_size=6,
)
MOUNTS = st.lists(
    st.sampled_from(["/data", "/etc/ssl/cert.pem", "/etc/ssl", "/etc/pki/tls/certs/ca-bundle.crt"]),
    unique=True,
    max_size=3,
).map(lambda paths: [{"name": "mine", "mountPath": path} for path in paths])
BODIES = st.fixed_dictionaries({"image": st.just("a:1")}, optional={"env": ENTRIES, "volumeMounts": MOUNTS})
ALIASES = st.lists(
    st.builds(
        lambda ip, hostnames: {"ip": ip, "hostnames": hostnames},
        st.sampled_from(["127.0.0.1", "::1", "10.0.0.1"]),
        st.lists(st.sampled_from(["api.openai.com", "mine"]), min_size=1, unique=True),
    ),
    max_size=3,
    unique_by=lambda entry: entry["ip"],
)


@st.composite
def pods(draw: st.DrawFn) -> dict:
    bodies = draw(st.lists(BODIES, min_size=1, max_size=3))
    inits = draw(st.lists(BODIES, max_size=2))
    spec: dict = {"volumes": [{"name": "mine", "emptyDir": {}}], "terminationGracePeriodSeconds": 7}
    if inits or draw(st.booleans()):
        spec["initContainers"] = [{"name": f"i{number}", **body} for number, body in enumerate(inits)]
    if aliases := draw(ALIASES):
        spec["hostAliases"] = aliases
    wanted = {names.SYSTEM_STORE: "true"} if draw(st.booleans()) else {"a": "b"}
    return pod(*({"name": f"c{n}", **body} for n, body in enumerate(bodies)), annotations=wanted, **spec)


@given(document=pods(), mode=MODES)
@settings(max_examples=60, deadline=None)
def test_twice_is_once_and_what_is_the_users_stays(document: dict, mode: str) -> None:
    made = plan(mode=mode)
    before = copy.deepcopy(document)
    result = patched(document, made)
    assert document == before
    again = inject(result, "shop", made)
    assert isinstance(again, Injected)
    assert again.operations == ()
    _nothing_else_changed(before, result)


def _nothing_else_changed(before: dict, after: dict) -> None:
    rest = copy.deepcopy(after)
    del rest["metadata"]["annotations"][names.STATUS]
    spec = rest["spec"]
    spec["initContainers"] = [each for each in spec["initContainers"] if each["name"] not in names.OWN_CONTAINERS]
    if not spec["initContainers"] and "initContainers" not in before["spec"]:
        del spec["initContainers"]
    spec["volumes"] = [each for each in spec["volumes"] if not names.is_own_volume(each["name"])]
    spec.pop("securityContext", None)
    _aliases_only_grew(before["spec"].get("hostAliases", []), spec.pop("hostAliases", []))
    for key in ("initContainers", "containers"):
        for old, new in zip(before["spec"].get(key, []), spec.get(key, []), strict=True):
            _container_only_grew(old, new)
    expected = copy.deepcopy(before)
    expected["spec"].pop("hostAliases", None)
    assert rest == expected


def _container_only_grew(old: dict, new: dict) -> None:
    for key in ("env", "volumeMounts"):
        there, now = old.get(key, []), new.pop(key, [])
        assert now[: len(there)] == there
        if key in old:
            new[key] = there
    users = {name.lower() for name, value in variables(old).items() if value == "x"}
    added = [each["name"] for each in new.get("env", [])[len(old.get("env", [])) :]]
    assert not {name for name in added if name in variables(old)}
    assert not {name for name in added if "proxy" in name.lower() and name.lower() in users}


def _aliases_only_grew(old: list[dict], new: list[dict]) -> None:
    for before, after in zip(old, new, strict=False):
        assert after["ip"] == before["ip"]
        assert after["hostnames"][: len(before["hostnames"])] == before["hostnames"]
    elsewhere = {name for each in old if each["ip"] not in ("127.0.0.1", "::1") for name in each["hostnames"]}
    for each in new:
        if each["ip"] in ("127.0.0.1", "::1"):
            own = next((entry["hostnames"] for entry in old if entry["ip"] == each["ip"]), [])
            assert not elsewhere & set(each["hostnames"]) - set(own)
