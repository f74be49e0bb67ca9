"""The words that are known not to matter, and those that are known to mean the same. Data only.

Rules: whatever is not listed here counts. So a word that is missing costs a hit, never a wrong answer; a word that is
here by mistake may cost a wrong answer. Hence no words that only often mean the same, no plurals and no tenses.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


def listed(words: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(words.split())


# Frequent words that tell one language from the others.
TELLTALE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": listed(
            "the of is are was were what how why when where who which does do did and for with a an to in i my "
            "can it be this that you me tell give between has have should would please from on not if there use "
            "write about good best make more than by or as help list explain show name find get into over any "
            "many much people"
        ),
        "de": listed(
            "der die das ist sind was wie warum wann wo wer welche welcher welches und für mit ein eine einen "
            "einem ich in mein kann nicht den dem von zu mir bitte es wird werden im zur zum kannst du auf sie"
        ),
        "fr": listed(
            "le la les est sont que quoi comment pourquoi quand où qui quelle quel quels et pour avec un une je "
            "mon ma peux ne pas du des de moi il faire dans ce cette en au aux combien"
        ),
        "es": listed(
            "el la los las es son qué cómo por cuándo dónde quién cuál y para con un una yo mi puedo no del de "
            "me en hacer se cuánto cuántos puedes este esta al lo"
        ),
        "it": listed(
            "il lo la gli le è sono che cosa come perché quando dove chi qual quale e per con un una io mio "
            "posso non del della di mi puoi nel nella in i quanto quanti si fare"
        ),
        "pt": listed(
            "o a os as é são que como por quando onde quem qual e para com um uma eu meu posso não do da de me "
            "em fazer no na se quanto quantos você pode"
        ),
        "nl": listed(
            "de het een is zijn wat hoe waarom wanneer waar wie welke en voor met ik mijn kan niet van te mij "
            "in op maak je kun heeft dit dat deze"
        ),
    }
)

# Articles and forms that say nothing about what is asked, at any place of a sentence that is not about words.
EMPTY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": listed("the a an do does is are am be"),
        "de": listed("der die das den dem ein eine einen einem einer"),
        "fr": listed("le la les un une"),
        "es": listed("el la los las un una"),
        "it": listed("il lo la gli le un una uno"),
        "pt": listed("o a os as um uma"),
        "nl": listed("de het een"),
        "": frozenset(),
    }
)
# `do` and `is` are empty inside a sentence; as its first word they make it a question that wants yes or no.
ASKS_WHETHER: Final = listed("is are am was were do does did has have had can could should would will may must")
QUESTION_WORDS: Final = listed("whether what how why when where who whom whose which define explain")

# The first word stands for all. English, but for units.
_SAME: Final = (
    "fix repair mend", "car automobile", "bike bicycle", "big large", "quick fast rapid", "begin start commence",
    "buy purchase", "delete erase", "remove eliminate", "photo photograph", "film movie", "sofa couch",
    "tv television", "phone telephone", "fridge refrigerator", "kid child", "kids children", "doctor physician",
    "lawyer attorney", "illness sickness", "choose pick", "create generate", "get obtain", "help assist",
    "need require", "allow permit", "purpose aim goal", "difference differences distinction", "benefit advantage",
    "benefits advantages pros", "drawback disadvantage", "drawbacks disadvantages cons", "summarize summarise",
    "summary synopsis", "use utilize utilise", "difficult hard challenging", "reply respond", "sick ill",
    "email e-mail", "website site", "database db", "directory folder", "kubernetes k8s", "javascript js",
    "typescript ts", "postgres postgresql", "variable var", "config configuration", "app application",
    "info information", "repo repository", "admin administrator", "auth authentication", "docs documentation",
    "parameter param", "parameters params", "argument arg", "arguments args", "string str", "integer int",
    "character char", "characters chars", "length len", "maximum max", "minimum min", "calculate compute",
    "determine ascertain", "shorten abbreviate", "frequently often", "usually normally typically", "rarely seldom",
    "almost nearly", "inside within", "approximately roughly", "center centre", "color colour", "colors colours",
    "behavior behaviour", "favorite favourite", "flavor flavour", "gray grey", "neighbor neighbour",
    "theater theatre", "tire tyre", "catalog catalogue", "traveling travelling", "dialog dialogue",
    "defense defence", "license licence", "liter litre", "liters litres", "meter metre", "meters metres",
    "program programme", "happen occur", "happens occurs", "which what", "entire whole", "author writer",
    "holiday vacation", "trash garbage rubbish", "story tale", "km kilometer kilometers kilometre kilometres",
    "cm centimeter centimeters centimetre centimetres", "mm millimeter millimeters millimetre millimetres",
    "kg kilogram kilograms kilo kilos", "% percent", "usd dollar dollars", "eur euro euros", "gbp quid", "hour hr",
    "hours hrs", "minutes mins", "second sec", "seconds secs", "ms millisecond milliseconds",
    "kb kilobyte kilobytes", "mb megabyte megabytes", "gb gigabyte gigabytes", "tb terabyte terabytes",
    "simple easy",
)  # fmt: skip
SAME: Final[Mapping[str, str]] = MappingProxyType({word: group.split()[0] for group in _SAME for word in group.split()})

PREPOSITIONS: Final = listed(
    "in on at for with using via from to into onto than before after by over under between of about as during within "
    "without against through across per since until like near inside outside vs versus due"
)
CONTRACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "ain't": "is not",
        "i'm": "i am", "let's": "let us", "what's": "what is", "who's": "who is", "where's": "where is",
        "how's": "how is", "when's": "when is", "why's": "why is", "it's": "it is", "that's": "that is",
        "there's": "there is", "here's": "here is", "he's": "he is", "she's": "she is", "whats": "what is",
        "hows": "how is", "wheres": "where is", "whos": "who is", "dont": "do not", "doesnt": "does not",
        "isnt": "is not", "cant": "can not", "wont": "will not", "didnt": "did not", "pls": "please", "plz": "please",
        "thx": "thanks", "gonna": "going to", "wanna": "want to",
    }
)  # fmt: skip
ENDINGS: Final = (("n't", "not"), ("'re", "are"), ("'ll", "will"), ("'ve", "have"), ("'d", "would"), ("'m", "am"))

# Words that mean another thing with a capital.
TWO_FACED: Final = listed(
    "polish march may turkey china apple windows word excel java mercury jordan chad georgia us it who aids swift rust "
    "go ruby access teams edge chrome safari amazon oracle mint august mark bill will rose grace hope joy frank jack "
    "nice reading bath cork mobile orange shell visa target gap subway corona tesla pages numbers keynote outlook "
    "ajax buffalo phoenix victoria wales sandwich hamburger champagne panama"
)

_BELOW_TWENTY: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS: Final[Mapping[str, int]] = MappingProxyType(
    {word: number for number, word in enumerate(_BELOW_TWENTY.split())}
    | {word: 10 * number for number, word in enumerate(_TENS.split(), 2)}
)
MULTIPLES: Final[Mapping[str, int]] = MappingProxyType(
    {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
)
CURRENCIES: Final[Mapping[str, str]] = MappingProxyType({"$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "₹": "inr"})
# As they are written; others in capitals count letter for letter.
UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {"KB": "kb", "MB": "mb", "GB": "gb", "TB": "tb", "USD": "usd", "EUR": "eur", "GBP": "gbp", "JPY": "jpy"}
)
# Acronyms that are as common in small letters.
COMMON_ACRONYMS: Final = frozenset({"JS", "DB", "TV", "PDF", "CSS", "HTML", "SQL", "JSON", "CSV", "API", "PC"})
# What a question may begin with where there are no spaces.
OPENINGS_WITHOUT_SPACES: Final = ("请问", "請問")
