"""What the stage keeps across reloads: the model's thread, the index, the counts. Nothing of it begins before it is
used."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.semantic.counts import SemanticCounts
from proxy.semantic.embedder import Embedder, ThreadEmbedder
from proxy.semantic.index import Index

if TYPE_CHECKING:
    from proxy.semantic.shared import SharedIndex


@dataclass(slots=True)
class SemanticState:
    """One for a process."""

    embedder: Embedder = field(default_factory=ThreadEmbedder)
    index: Index = field(default_factory=Index)
    counts: SemanticCounts = field(default_factory=SemanticCounts)
    shared: "SharedIndex | None" = None  # None: what other replicas have been asked is not known here
