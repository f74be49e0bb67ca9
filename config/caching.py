"""The settings of what is answered again: policies, tiers, calls that are joined. See schema.py for the rules."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from config.section import MIB, Section

type Sampling = Literal["deterministic", "any"]
type Semantic = Literal["off", "shadow", "on"]


class OperationPolicy(Section):
    """How the answers to one operation are kept. None: what `cache` says."""

    cache: bool | None = None
    ttl_s: Annotated[float, Field(gt=0)] | None = None
    sampling: Sampling | None = None
    collapse: bool | None = None
    tools: bool | None = None  # may calls that offer tools be answered again?
    max_messages: Annotated[int, Field(ge=1)] | None = None  # longer conversations are passed on
    max_bytes: Annotated[int, Field(ge=1)] | None = None  # larger answers are not kept
    sensitive: bool | None = None  # kept in memory only, unless answers at rest are encrypted
    stale_while_revalidate_s: Annotated[float, Field(ge=0)] | None = None  # answered stale, and renewed behind it
    stale_if_error_s: Annotated[float, Field(ge=0)] | None = None  # answered stale when the origin fails or limits us
    refresh_ahead: Annotated[float, Field(ge=0, lt=1)] | None = (
        None  # share of the ttl after which a popular one is renewed
    )
    buckets: Annotated[int, Field(ge=1, le=64)] | None = None  # different answers kept of one sampled call
    elements: bool | None = None  # are arrays of embedding inputs answered element by element?
    semantic: Semantic | None = None  # may a call that means the same answer this one?
    semantic_threshold: Annotated[float, Field(gt=0, le=1)] | None = None  # least cosine similarity


class Memory(Section):
    """The tier in this process, or in memory that all workers share."""

    max_bytes: Annotated[int, Field(ge=0)] = 128 * MIB  # of all workers; everything an entry holds is counted
    # Answers in one piece for calls that say the same as a hit before: a third of a hit's time. 0: none.
    repeats_max_bytes: Annotated[int, Field(ge=0)] = 32 * MIB


class Redis(Section):
    """The tier that replicas share: Redis or Valkey. Off unless `url` is set."""

    url: str | None = None  # redis:// rediss:// unix:// sentinel:// cluster://; see docs/caching.md
    username: str | None = None  # instead of in the URL
    password_file: Path | None = None  # instead of in the URL; read anew for each connection
    ca: Path | None = None  # PEM; default: the system's roots
    certificate: Path | None = None  # PEM, of a client that Redis wants to know
    key: Path | None = None
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "skinflint"  # of all keys and channels
    read_timeout_s: Annotated[float, Field(gt=0)] = 0.02  # what an outage costs one call, once
    write_timeout_s: Annotated[float, Field(gt=0)] = 0.2  # nobody waits for it
    connect_timeout_s: Annotated[float, Field(gt=0)] = 1.0
    max_connections: Annotated[int, Field(ge=4)] = 8  # of one process, to each server
    max_entry_bytes: Annotated[int, Field(ge=1024)] = 4 * MIB  # larger answers are not kept there
    vectors: bool = False  # share what `semantic` routes were asked, as vectors of prompts; needs Redis 8


class Disk(Section):
    """The tier that survives a restart: SQLite."""

    max_bytes: Annotated[int, Field(ge=0)] = 1024 * MIB  # 0: no such tier
    path: Path | None = None  # default: cache.sqlite in the data directory
    read_timeout_s: Annotated[float, Field(gt=0)] = 0.05


class Encryption(Section):
    """AES-256-GCM for answers outside this process's memory."""

    key_file: Path | None = None  # lines of `ID BASE64`, 32 bytes each: the first encrypts, all decrypt


class Cache(Section):
    """Which calls are answered again."""

    enabled: bool = True
    sampling: Sampling = "deterministic"  # `any` also answers calls whose sampling would vary
    ttl_s: Annotated[float, Field(gt=0)] = 3600.0
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "default"  # of calls that name none
    key_file: Path | None = None  # 32 bytes that key all fingerprints, the same for all replicas
    max_messages: Annotated[int, Field(ge=1)] | None = None  # longer conversations are passed on
    max_bytes: Annotated[int, Field(ge=1)] | None = None  # of an answer; limits.max_answer_bytes holds too
    sensitive: bool = False
    stale_while_revalidate_s: Annotated[float, Field(ge=0)] = 0.0
    stale_if_error_s: Annotated[float, Field(ge=0)] = 0.0
    refresh_ahead: Annotated[float, Field(ge=0, lt=1)] = 0.0  # 0: never
    buckets: Annotated[int, Field(ge=1, le=64)] = 1
    background_calls: Annotated[int, Field(ge=1)] = 8  # renewals at once
    memory: Memory = Memory()
    redis: Redis = Redis()
    disk: Disk = Disk()
    encryption: Encryption = Encryption()
    operations: dict[str, OperationPolicy] = {
        "models": OperationPolicy(ttl_s=300.0),
        "embeddings": OperationPolicy(ttl_s=86_400.0),
        "moderations": OperationPolicy(ttl_s=86_400.0),
    }
    share: dict[str, tuple[str, ...]] = {}  # group name -> credential digests (12 digits) that share answers
    tools: bool = True
    response_headers: bool = True  # Age, Cache-Status, x-skinflint-*


class Collapse(Section):
    """Joining identical calls in flight. Obeys `cache.sampling`."""

    enabled: bool = True
    max_followers: Annotated[int, Field(ge=1)] = 10_000
    max_lag_bytes: Annotated[int, Field(ge=1024)] = 4 * MIB  # a reader further behind than this is cut off
    fleet: bool = True  # across replicas, where cache.redis is set
    lease_s: Annotated[float, Field(ge=1)] = 5.0  # after which a replica that went silent is replaced


class Batch(Section):
    """Embeddings by element: of an array of inputs only those that are not stored go upstream, with other calls'."""

    enabled: bool = True
    # A call waits for others to go with it only while one of the same kind is under way: a lone caller never waits.
    wait_ms: Annotated[float, Field(ge=0, le=1000)] = 3.0
    max_waiting: Annotated[int, Field(ge=0)] = 64  # a call with more missing inputs goes at once and by itself
    max_inputs: Annotated[int, Field(ge=1)] = 2048  # of one upstream call, or fewer where the provider takes fewer
    max_bytes: Annotated[int, Field(ge=1024)] = 512 * 1024  # of inputs that go together; OpenAI takes 300,000 tokens
