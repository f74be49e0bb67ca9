"""Embeddings taken apart and put together: byte for byte, in order, and only where every member is known."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.elements import ByElement, ElementDialect
from proxy.exchange.provider import Provider
from proxy.providers.elements.cohere import CohereElements
from proxy.providers.elements.gemini import GeminiElements
from proxy.providers.elements.openai import OpenAIElements
from tests.support.exchanges import REGISTRY

OPENAI = OpenAIElements(is_known=True)
GEMINI = GeminiElements()
COHERE = CohereElements()


def raws(dialect: ElementDialect, body: bytes) -> list[bytes] | None:
    asked = dialect.split(body)
    return None if asked is None else [element.raw for element in asked.elements]


def frame(dialect: ElementDialect, body: bytes) -> bytes:
    asked = dialect.split(body)
    assert asked is not None
    return asked.frame


# -- which calls


def provider(name: str) -> Provider:
    found = REGISTRY.by_name(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "path", "most", "is_known"),
    [
        ("openai", "/v1/embeddings", 2048, True),
        ("azure", "/openai/deployments/d/embeddings", 2048, True),
        ("mistral", "/v1/embeddings", 2048, True),
        ("together", "/v1/embeddings", 2048, False),
        ("gemini", "/v1beta/models/m:batchEmbedContents", 100, True),
        ("gemini", "/v1beta/openai/embeddings", 2048, True),
        ("cohere", "/v2/embed", 96, True),
        ("cohere", "/v1/embed", 96, True),
        ("cohere", "/compatibility/v1/embeddings", 2048, True),
    ],
)
def test_these_can_be_taken_apart(name: str, path: str, most: int, is_known: bool) -> None:
    found = provider(name)
    assert isinstance(found, ByElement)
    dialect = found.element_dialect(found.operation("POST", path), path)
    assert dialect is not None
    assert (dialect.most, dialect.is_known) == (most, is_known)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai", "/v1/chat/completions"),
        ("gemini", "/v1beta/models/m:embedContent"),
        ("cohere", "/v2/chat"),
        ("vertex", "/v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict"),
    ],
)
def test_these_cannot(name: str, path: str) -> None:
    found = provider(name)
    assert isinstance(found, ByElement)
    assert found.element_dialect(found.operation("POST", path), path) is None


# -- OpenAI: requests


@pytest.mark.parametrize(
    ("given_input", "expected"),
    [
        (b'"one"', [b'"one"']),
        (b'["one", "t\\u0077o",\n"\xc3\xa9\\"]["]', [b'"one"', b'"t\\u0077o"', b'"\xc3\xa9\\"]["']),
        (b"[1, 2,3]", [b"[1, 2,3]"]),
        (b"[[1, 2],[3]]", [b"[1, 2]", b"[3]"]),
        (b'["a","a"]', [b'"a"', b'"a"']),
    ],
)
def test_inputs_are_found_as_they_were_written(given_input: bytes, expected: list[bytes]) -> None:
    assert raws(OPENAI, b'{"model":"m","input":' + given_input + b',"user":"u"}') == expected


@pytest.mark.parametrize(
    "given_input",
    [b"[]", b'""', b'["a",""]', b'["a",[1]]', b'[[1],"a"]', b"[[]]", b"[1.5]", b"[-1]", b"null", b"{}", b"7",
     b'[{"text":"a"}]', b"[[1],[[2]]]", b"[true]"],
)  # fmt: skip
def test_other_inputs_stay_whole(given_input: bytes) -> None:
    assert raws(OPENAI, b'{"model":"m","input":' + given_input + b"}") is None


@pytest.mark.parametrize(
    "body",
    [b'{"model":"m"}', b'{"input":"a","input":"b"}', b'{"input":"a","late_chunking":true}', b'{"input":"a","x":1}',
     b"[]", b"", b'{"input":"a"'],
)  # fmt: skip
def test_requests_that_are_not_known_in_full_stay_whole(body: bytes) -> None:
    assert raws(OPENAI, body) is None


def test_equal_inputs_are_equal_however_they_are_written() -> None:
    asked = OPENAI.split(b'{"input":["two","t\\u0077o"]}')
    numbers = OPENAI.split(b'{"input":[[1,2],[ 1 , 2 ]]}')
    assert asked is not None
    assert numbers is not None
    assert asked.elements[0].canonical == asked.elements[1].canonical
    assert numbers.elements[0].canonical == numbers.elements[1].canonical
    assert [element.weight for element in (*asked.elements, *numbers.elements)] == [3, 3, 2, 2]


def test_the_frame_is_everything_else() -> None:
    plain = frame(OPENAI, b'{"model":"m","input":"a","dimensions":8}')
    assert frame(OPENAI, b'{ "dimensions": 8, "input" : ["b"], "model" : "\\u006d" }') == plain
    assert frame(OPENAI, b'{"model":"m","input":"a","dimensions":8.0}') != plain
    assert frame(OPENAI, b'{"model":"m","input":"a"}') != plain
    assert frame(OPENAI, b'{"model":"m","input":[1],"dimensions":8}') != plain  # may not stand in one array with texts


def test_a_request_for_some_of_them_keeps_the_rest_as_it_was() -> None:
    asked = OPENAI.split(b'{ "model" : "m",\n "input":["a", "b","c"] , "user":"u"}')
    assert asked is not None
    chosen = [asked.elements[2].raw, asked.elements[0].raw]
    assert asked.with_elements(chosen) == b'{ "model" : "m",\n "input":["c","a"] , "user":"u"}'


# -- OpenAI: answers

FLOATS = (
    b'{\n  "object": "list",\n  "data": [\n    {"object": "embedding", "index": 1, "embedding": [0.10, -2e-05]},\n'
    b'    {"object": "embedding", "index": 0, "embedding": [1.0,\n 2]}\n  ],\n  "model": "m-1",\n'
    b'  "usage": {"prompt_tokens": 7, "total_tokens": 7}\n}'
)
BASE64 = (
    b'{"data":[{"embedding":"AAAA+/8=","index":0,"object":"embedding"}],'
    b'"usage":{"total_tokens":3},"id":"e-1","model":"m"}'
)


def test_vectors_come_in_the_order_of_the_inputs_byte_for_byte() -> None:
    answered = OPENAI.read(FLOATS, 2)
    assert answered is not None
    assert answered.values == (b"[1.0,\n 2]", b"[0.10, -2e-05]")
    assert answered.tokens == 7


def test_base64_is_copied_too() -> None:
    answered = OPENAI.read(BASE64, 1)
    assert answered is not None
    assert (answered.values, answered.tokens) == ((b'"AAAA+/8="',), 3)
    made = OPENAI.assemble(answered.template, [b'"B=="', b'"C=="'], 11)
    assert orjson.loads(made) == {
        "data": [
            {"embedding": "B==", "index": 0, "object": "embedding"},
            {"embedding": "C==", "index": 1, "object": "embedding"},
        ],
        "usage": {"total_tokens": 11},
        "id": "e-1",
        "model": "m",
    }


def test_what_was_taken_apart_is_put_together_as_it_was() -> None:
    answered = OPENAI.read(FLOATS, 2)
    assert answered is not None
    made = OPENAI.assemble(answered.template, answered.values, answered.tokens)
    document = orjson.loads(FLOATS)
    document["data"].reverse()
    assert orjson.loads(made) == document
    assert b"[0.10, -2e-05]" in made


def test_templates_differ_by_what_lasts() -> None:
    def lasting(raw: bytes) -> bytes:
        answered = OPENAI.read(raw, 1)
        assert answered is not None
        return OPENAI.lasting(answered.template)

    assert lasting(BASE64) == lasting(BASE64.replace(b"e-1", b"e-2").replace(b":3}", b":99}"))
    assert lasting(BASE64) != lasting(BASE64.replace(b'"m"', b'"m-2"'))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"index":0', b'"index":1'),
        (b'"index":0', b'"index":"0"'),
        (b'"index":0,', b""),
        (b'"AAAA+/8="', b"null"),
        (b'"AAAA+/8="', b'{"float":[1]}'),
        (b'"AAAA+/8="', b"[]"),
        (b'"AAAA+/8="', b"[[1]]"),
        (b'"object":"embedding"', b'"truncated":true'),
        (b'{"total_tokens":3}', b'{"total_tokens":3,"prompt_tokens":2}'),
        (b'{"total_tokens":3}', b'{"total_tokens":3,"cost":0.1}'),
        (b'{"total_tokens":3}', b'{"total_tokens":3.5}'),
        (b'{"total_tokens":3}', b'{"total_tokens":-3}'),
        (b'{"total_tokens":3}', b'{"total_tokens":true}'),
        (b'{"total_tokens":3}', b'{"total_tokens":[]}'),
        (b'{"total_tokens":3}', b"{}"),
        (b'{"total_tokens":3}', b"null"),
        (b'"usage"', b'"used"'),
        (b'"data"', b'"rows"'),
    ],
)
def test_answers_that_are_not_understood_in_full_stay_whole(old: bytes, new: bytes) -> None:
    assert old in BASE64
    assert OPENAI.read(BASE64.replace(old, new), 1) is None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_row_too_many_or_too_few_stays_whole(count: int) -> None:
    assert OPENAI.read(FLOATS, count) is None


def test_counts_of_nothing_are_no_hindrance() -> None:
    usage = (
        b'{"prompt_tokens":3,"total_tokens":3,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":0,"x":[]}}'
    )
    answered = OPENAI.read(BASE64.replace(b'{"total_tokens":3}', usage), 1)
    assert answered is not None
    made = orjson.loads(OPENAI.assemble(answered.template, answered.values, 5))
    assert made["usage"] == {**orjson.loads(usage), "prompt_tokens": 5, "total_tokens": 5}


@given(
    texts=st.lists(st.text(min_size=1, max_size=10).filter(lambda text: text.isprintable()), min_size=1, max_size=5),
    seed=st.randoms(use_true_random=False),
)
def test_any_subset_asks_for_just_that(texts: list[str], seed: object) -> None:
    body = orjson.dumps({"model": "m", "input": texts})
    asked = OPENAI.split(body)
    assert asked is not None
    chosen = asked.elements[::2]
    assert orjson.loads(asked.with_elements(each.raw for each in chosen)) == {"model": "m", "input": texts[::2]}


# -- Gemini

GEMINI_REQUEST = (
    b'{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}},'
    b'{ "content":{"parts":[{"text":"b"}]}, "model":"models/m","taskType":"CLUSTERING"}]}'
)


def test_gemini_requests_are_elements_of_their_own() -> None:
    asked = GEMINI.split(GEMINI_REQUEST)
    assert asked is not None
    assert [orjson.loads(element.raw)["content"]["parts"][0]["text"] for element in asked.elements] == ["a", "b"]
    assert asked.elements[1].canonical == (
        b'{"content":{"parts":[{"text":"b"}]},"model":"models/m","taskType":"CLUSTERING"}'
    )


@pytest.mark.parametrize("body", [b'{"requests":[]}', b'{"requests":["a"]}', b'{"requests":[{}],"x":1}', b"{}"])
def test_other_gemini_requests_stay_whole(body: bytes) -> None:
    assert GEMINI.split(body) is None


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (b'{"embeddings":[{"values":[0.10]},{"values":[2]}]}', None),
        (b'{"embeddings":[{"values":[0.10]},{"values":[2]}],"usageMetadata":{"promptTokenCount":4}}', 4),
    ],
)
def test_gemini_answers(raw: bytes, tokens: int | None) -> None:
    answered = GEMINI.read(raw, 2)
    assert answered is not None
    assert (answered.values, answered.tokens) == ((b'{"values":[0.10]}', b'{"values":[2]}'), tokens)
    assert GEMINI.assemble(answered.template, answered.values, tokens) == raw
    assert GEMINI.lasting(answered.template)


@pytest.mark.parametrize(
    "raw",
    [b'{"embeddings":[{"values":[1]}]}', b'{"embeddings":[{"values":[1]},{}]}', b'{"embeddings":[[1],[2]]}',
     b'{"embeddings":[{"values":[1]},{"values":[1]}],"model":"m"}', b'{"error":{}}', b"nonsense"],
)  # fmt: skip
def test_other_gemini_answers_stay_whole(raw: bytes) -> None:
    assert GEMINI.read(raw, 2) is None


# -- Cohere


def cohere(
    embeddings: bytes, *, texts: bytes = b'["A","b"]', meta: bytes = b'{"billed_units":{"input_tokens":5}}'
) -> bytes:
    return b'{"id":"1","embeddings":' + embeddings + b',"texts":' + texts + b',"images":null,"meta":' + meta + b"}"


@pytest.mark.parametrize(
    "embeddings", [b"[[0.10],[2]]", b'{"float":[[0.10],[2]]}', b'{"float":[[0.10],[2]],"base64":["AA==","BB=="]}']
)
def test_cohere_answers(embeddings: bytes) -> None:
    raw = cohere(embeddings)
    answered = COHERE.read(raw, 2)
    assert answered is not None
    assert answered.tokens == 5
    assert COHERE.assemble(answered.template, answered.values, 5) == raw
    swapped = orjson.loads(COHERE.assemble(answered.template, answered.values[::-1], 9))
    assert swapped["texts"] == ["b", "A"]
    assert swapped["meta"]["billed_units"]["input_tokens"] == 9
    assert COHERE.lasting(answered.template) == COHERE.lasting(answered.template.replace(b'"1"', b'"2"'))


def test_cohere_answers_without_texts() -> None:
    raw = b'{"embeddings":[[1]],"meta":{"api_version":{"version":"1"},"billed_units":{"input_tokens":5}}}'
    answered = COHERE.read(raw, 1)
    assert answered is not None
    assert COHERE.assemble(answered.template, answered.values, 5) == raw


@pytest.mark.parametrize(
    "raw",
    [
        cohere(b"[[1]]"),
        cohere(b"{}"),
        cohere(b'{"float":[[1]]}'),
        cohere(b'{"float":[[1],[2]],"int8":[[1]]}'),
        cohere(b"[[1],[2]]", texts=b'["a"]'),
        cohere(b"[[1],[2]]", meta=b'{"billed_units":{"input_tokens":5,"images":1}}'),
        cohere(b"[[1],[2]]", meta=b'{"billed_units":{"input_tokens":5},"warnings":["deprecated"]}'),
        cohere(b"[[1],[2]]", meta=b"{}"),
        cohere(b"[[1],[2]]").replace(b"null", b"[1]"),
        b'{"message":"no"}',
    ],
)
def test_other_cohere_answers_stay_whole(raw: bytes) -> None:
    assert COHERE.read(raw, 2) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"m","input_type":"search_query","texts":["a","b"],"embedding_types":["float"]}', [b'"a"', b'"b"']),
        (b'{"model":"m","texts":["a"],"images":["b"]}', None),
        (b'{"model":"m","inputs":[{"content":[]}]}', None),
        (b'{"model":"m","texts":"a"}', None),
    ],
)
def test_cohere_requests(body: bytes, expected: Sequence[bytes] | None) -> None:
    assert raws(COHERE, body) == expected
