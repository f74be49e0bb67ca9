"""Prices: what the list and the files say, what stays unpriced, and that no fraction of a nano-dollar is lost."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from config.errors import SettingsError
from config.prices import PriceOverrides, load_prices
from config.providers import load_providers
from proxy.exchange.usage import Usage
from proxy.ledger.prices import PriceBook
from proxy.ledger.rates import ATTO_PER_NANO, Rates, nanousd

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook(load_prices())


def cost(book: PriceBook, provider: str, model: str, usage: Usage, *, at: datetime = AT) -> int | None:
    price = book.price(provider, model, usage, operation="chat", at=at)
    return None if price is None else price.nanousd


def with_file(tmp_path: Path, text: str) -> PriceOverrides:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return load_prices(path)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "aws", "cohere", "mistral", "groq", "x-ai"])
def test_agrees_with_the_list_on_every_model(book: PriceBook, provider: str) -> None:
    usage = Usage(input_tokens=250_001, output_tokens=1_357, cache_read_tokens=1_023, cache_write_tokens=17)
    compared = 0
    for model in next(one for one in get_snapshot().providers if one.id == provider).models:
        ours = cost(book, provider, model.id, usage)
        if ours is None or ours == 0:
            continue
        listed = ListedUsage(input_tokens=250_001, output_tokens=1_357, cache_read_tokens=1_023, cache_write_tokens=17)
        theirs = calc_price(listed, model.id, provider_id=provider, genai_request_timestamp=AT)
        if theirs.model.id == model.id:
            assert abs(theirs.total_price * 10**9 - ours) <= Decimal("0.5"), model.id
            compared += 1
    assert compared > 3


@pytest.mark.parametrize(
    "model", ["gpt-4o-2024-08-06", "gpt-4o", "GPT-4o", "gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini-2024-07-18:org::id"]
)
def test_dated_and_tuned_names_are_priced(book: PriceBook, model: str) -> None:
    assert cost(book, "openai", model, Usage(input_tokens=1, output_tokens=1))


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", "ft:gpt-4o-mini:org::id"),
        ("openai", ""),
        ("azure", "my-deployment"),
        ("vllm", "meta-llama/Llama-3.1-8B"),
        ("", "gpt-4o"),
        ("not-openai-at-all", "gpt-4o"),
        ("aws", "k3j4h5k3j4"),
    ],
)
def test_the_unknown_is_unpriced(book: PriceBook, provider: str, model: str) -> None:
    assert cost(book, provider, model, Usage(input_tokens=10, output_tokens=10)) is None


def test_no_usage_is_unpriced(book: PriceBook) -> None:
    assert book.price("openai", "gpt-4o", None, operation="chat") is None


def test_a_model_listed_without_a_price_is_unpriced(book: PriceBook) -> None:
    assert cost(book, "github-copilot", "gpt-4o", Usage(input_tokens=10)) is None


def test_moderation_is_free(book: PriceBook) -> None:
    assert cost(book, "openai", "omni-moderation-latest", Usage(input_tokens=10)) == 0


def test_cached_input_is_charged_once_at_its_own_price(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_200, cache_read_tokens=1_000, output_tokens=300)
    assert cost(book, "openai", "gpt-4o-2024-08-06", usage) == 200 * 2_500 + 1_000 * 1_250 + 300 * 10_000


def test_cache_writes_of_an_hour_have_their_own_price(book: PriceBook) -> None:
    usage = Usage(
        input_tokens=3_100,
        cache_read_tokens=1_000,
        cache_write_tokens=2_000,
        cache_write_1h_tokens=500,
        output_tokens=10,
    )
    expected = 100 * 3_000 + 1_000 * 300 + 1_500 * 3_750 + 500 * 6_000 + 10 * 15_000
    assert cost(book, "anthropic", "claude-sonnet-4-5-20250929", usage) == expected


def test_a_long_context_reprices_the_whole_call(book: PriceBook) -> None:
    below = cost(book, "anthropic", "claude-sonnet-4-5", Usage(input_tokens=200_000, output_tokens=1))
    above = cost(book, "anthropic", "claude-sonnet-4-5", Usage(input_tokens=200_001, output_tokens=1))
    assert below == 200_000 * 3_000 + 15_000
    assert above == 200_001 * 6_000 + 22_500


def test_audio_is_told_apart(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_100, input_audio_tokens=1_000, cache_read_tokens=50, output_tokens=10)
    expected = 50 * 300 + 1_000 * 1_000 + 50 * 30 + 10 * 2_500
    assert cost(book, "google", "gemini-2.5-flash", usage) == expected


def test_searches_are_charged_by_the_call(book: PriceBook) -> None:
    plain = cost(book, "anthropic", "claude-sonnet-4-5", Usage(input_tokens=10))
    searching = cost(book, "anthropic", "claude-sonnet-4-5", Usage(input_tokens=10, web_searches=2))
    assert plain is not None
    assert searching == plain + 2 * 10_000_000


def test_searches_without_a_price_leave_the_call_unpriced(book: PriceBook) -> None:
    assert cost(book, "cohere", "command-a-03-2025", Usage(input_tokens=10, web_searches=1)) is None


def test_rerank_is_charged_by_search_units(book: PriceBook) -> None:
    assert cost(book, "cohere", "rerank-v3.5", Usage(web_searches=3)) == 6_000_000


def test_pictures_priced_apart_leave_the_call_unpriced(book: PriceBook) -> None:
    assert cost(book, "google", "gemini-2.5-flash-image", Usage(input_tokens=10, output_tokens=1_290)) is None
    assert cost(book, "google", "gemini-2.5-flash-image", Usage(input_tokens=10)) == 3_000


def test_the_price_follows_the_service_tier(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000)
    standard = cost(book, "openai", "gpt-5", usage)
    assert standard
    flex = Usage(input_tokens=1_000_000, output_tokens=1_000, service_tier="flex")
    assert cost(book, "openai", "gpt-5", flex) == standard // 2
    default = Usage(input_tokens=1_000_000, output_tokens=1_000, service_tier="default")
    assert cost(book, "openai", "gpt-5", default) == standard


def test_batch_costs_half(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=1_000)
    standard = cost(book, "anthropic", "claude-sonnet-4-5", usage)
    assert standard
    batch = Usage(input_tokens=1_000, output_tokens=1_000, service_tier="batch")
    assert cost(book, "anthropic", "claude-sonnet-4-5", batch) == standard // 2


def test_a_tier_without_a_price_is_unpriced(book: PriceBook) -> None:
    usage = Usage(input_tokens=10, service_tier="provisioned_throughput")
    assert cost(book, "google", "gemini-2.5-flash", usage) is None


def test_groq_flex_costs_what_on_demand_costs(book: PriceBook) -> None:
    on_demand = cost(book, "groq", "llama-3.1-8b-instant", Usage(input_tokens=7, service_tier="on_demand"))
    assert on_demand == cost(book, "groq", "llama-3.1-8b-instant", Usage(input_tokens=7, service_tier="flex")) == 350


def test_a_global_profile_costs_less_than_a_regional_one(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000)
    name = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert cost(book, "aws", f"global.{name}", usage) == 3_000_000
    assert cost(book, "aws", f"us.{name}", usage) == 3_300_000


def test_a_resold_model_has_its_makers_price(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=1_000)
    assert cost(book, "google", "claude-sonnet-4-5@20250929", usage) == 1_000 * 3_000 + 1_000 * 15_000


def test_prices_change_by_time_of_day(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000)
    day = cost(book, "deepseek", "deepseek-chat", usage, at=datetime(2025, 6, 1, 12, 0, tzinfo=UTC))
    night = cost(book, "deepseek", "deepseek-chat", usage, at=datetime(2025, 6, 1, 20, 0))  # noqa: DTZ001 - meant
    assert (day, night) == (270_000, 135_000)


def test_the_clock_says_when_no_time_is_given() -> None:
    def book_at(hour: int) -> PriceBook:
        return PriceBook(load_prices(), clock=lambda: datetime(2025, 6, 1, hour, tzinfo=UTC).timestamp())

    costs = [
        price.nanousd
        for hour in (12, 20)
        if (price := book_at(hour).price("deepseek", "deepseek-chat", Usage(input_tokens=1_000), operation="chat"))
    ]
    assert costs == [270_000, 135_000]


def test_fractions_are_exact_until_the_sum() -> None:
    # 0.0375 USD per million is 37.5 nano-dollars a token: as floats, a million of them would drift.
    rates = Rates(input=37_500_000_000, output=0).filled()
    assert rates.charge(Usage(input_tokens=3)) == 112_500_000_000
    assert nanousd(112_500_000_000) == 112  # ties go to the even neighbour
    assert nanousd(113_500_000_000) == 114
    assert nanousd(113_500_000_001) == 114
    assert nanousd(112_499_999_999) == 112
    huge = rates.charge(Usage(input_tokens=10**12))
    assert huge is not None
    assert huge // ATTO_PER_NANO == 37_500_000_000_000


def test_parts_beyond_the_total_are_charged_and_nothing_is_subtracted() -> None:
    rates = Rates(input=10, output=20).filled()
    assert rates.charge(Usage(input_tokens=5, cache_read_tokens=9)) == 90


def test_an_own_file_stands_before_the_shipped_one(tmp_path: Path) -> None:
    overrides = with_file(
        tmp_path,
        """
        openai:
          - {model: "gpt-4o*", input: 1, output: 2, tiers: {flex: 0.25}, batch: 0.5}
        vllm:
          - {model: "org/*", input: 0.1, output: 0.3, per_request: 0.000001}
        ollama:
          - {model: "*", free: true}
        """,
    )
    book = PriceBook(overrides)
    usage = Usage(input_tokens=1_000, output_tokens=1_000)
    assert cost(book, "openai", "gpt-4o", usage) == 3_000_000
    flex = Usage(input_tokens=1_000, output_tokens=1_000, service_tier="flex")
    assert cost(book, "openai", "gpt-4o", flex) == 750_000
    batch = Usage(input_tokens=1_000, output_tokens=1_000, service_tier="batch")
    assert cost(book, "openai", "gpt-4o", batch) == 1_500_000
    priority = Usage(input_tokens=1_000, service_tier="priority")
    assert cost(book, "openai", "gpt-4o", priority) is None
    assert cost(book, "vllm", "org/model", usage) == 100_000 + 300_000 + 1_000
    assert cost(book, "vllm", "other", usage) is None
    assert cost(book, "ollama", "llama3.2", usage) == 0
    assert cost(book, "openai", "omni-moderation-latest", usage) == 0


def test_a_partial_entry_follows_the_list_for_the_rest(tmp_path: Path) -> None:
    book = PriceBook(with_file(tmp_path, "openai: [{model: gpt-4o, input: 1}]"))
    usage = Usage(input_tokens=1_000, cache_read_tokens=500, output_tokens=10)
    price = book.price("openai", "gpt-4o", usage, operation="chat", at=AT)
    assert price is not None
    assert price.nanousd == 500 * 1_000 + 500 * 1_250 + 10 * 10_000
    assert price.source == "overrides+genai-prices"


def test_a_partial_entry_of_an_unlisted_model_leaves_the_rest_unpriced(tmp_path: Path) -> None:
    book = PriceBook(with_file(tmp_path, "vllm: [{model: m, input: 1}]"))
    assert cost(book, "vllm", "m", Usage(input_tokens=1, cache_read_tokens=1)) == 1_000
    assert cost(book, "vllm", "m", Usage(input_tokens=1, output_tokens=1)) is None


def test_an_entry_begins_on_its_day(tmp_path: Path) -> None:
    book = PriceBook(with_file(tmp_path, "vllm: [{model: m, from: 2026-02-01, input: 2}, {model: m, input: 1}]"))
    usage = Usage(input_tokens=1)
    assert cost(book, "vllm", "m", usage, at=datetime(2026, 1, 31, 23, 59, tzinfo=UTC)) == 1_000
    assert cost(book, "vllm", "m", usage, at=datetime(2026, 2, 1, tzinfo=UTC)) == 2_000


def test_the_version_names_the_list_and_the_files(tmp_path: Path) -> None:
    first = PriceBook(with_file(tmp_path, "vllm: [{model: m, input: 1}]"))
    second = PriceBook(with_file(tmp_path, "vllm: [{model: m, input: 2}]"))
    versions = {
        price.version
        for book in (first, second)
        if (price := book.price("vllm", "m", Usage(input_tokens=1), operation="chat"))
    }
    assert len(versions) == 2
    listed = first.price("openai", "gpt-4o", Usage(input_tokens=1), operation="chat")
    assert listed is not None
    assert listed.version.startswith("genai-prices/")
    assert listed.source == "genai-prices"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openai: [{model: a, inptu: 1}]", ["own.yaml:1", "inptu", "allowed: model, from, input"]),
        ("openai: [{input: 1}]", ["openai", "model", "is required"]),
        ("openai: [{model: a}]", ["names no price"]),
        ("openai: [{model: '', input: 1}]", ["must not be empty"]),
        ("openai: [{model: a, free: true, input: 1}]", ["free excludes prices"]),
        ("openai: [{model: a, input: -1}]", ["openai", "input", "greater than or equal to 0"]),
        ("openai: [{model: a, input: .nan}]", ["input"]),
        ("openai: {model: a}", ["must be a list of entries"]),
        ("- 1", ["own.yaml"]),
        ("openai: [", ["not valid YAML"]),
        ("openai: [{model: a, batch: 0}]", ["batch", "greater than 0"]),
    ],
)
def test_mistakes_in_a_price_file_are_explained(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        with_file(tmp_path, text)
    for part in told:
        assert part in str(caught.value)


def test_a_missing_price_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cost\.prices"):
        load_prices(tmp_path / "absent.yaml")


def test_every_known_provider_has_prices_under_its_id(book: PriceBook) -> None:
    listed = {provider.id for provider in get_snapshot().providers}
    assert {entry.price_id for entry in load_providers() if entry.price_id} <= listed


def test_a_factor_of_an_unlisted_model_gives_no_price(book: PriceBook) -> None:
    assert cost(book, "groq", "no-such-model", Usage(input_tokens=1)) is None


def test_batch_operations_have_the_batch_price(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000)
    price = book.price("anthropic", "claude-sonnet-4-5", usage, operation="batches", at=AT)
    assert price is not None
    assert price.nanousd == 1_500_000


def test_threads_may_share_one_book() -> None:
    book = PriceBook(load_prices())
    book.warm()
    with ThreadPoolExecutor(4) as pool:
        costs = list(pool.map(lambda _: cost(book, "openai", "gpt-4o", Usage(input_tokens=2)), range(50)))
    assert set(costs) == {5_000}


def test_the_list_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys; from config.prices import load_prices; from proxy.ledger.prices import PriceBook; "
        "book = PriceBook(load_prices()); assert 'genai_prices' not in sys.modules; "
        "book.warm(); assert 'genai_prices' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
