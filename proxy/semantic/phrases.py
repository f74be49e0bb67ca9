"""Phrases that say the same as shorter ones, by language. Data only, under the rules of tables.py."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from proxy.semantic.tables import listed

# Said out of politeness, before what is asked. Dropped at a sentence's beginning only.
OPENINGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "en": (
            "please", "kindly", "hi", "hello", "hey", "ok", "okay", "um", "uh", "thanks", "thanks a lot",
            "thanks in advance", "thank you", "thank you very much", "good morning", "good evening", "quick question",
            "i would like to know", "i would love to know", "i would like you to", "i want to know", "i need to know",
            "i want you to", "i need you to", "i am wondering", "i was wondering", "i am trying to find out",
        ),
        "de": (
            "bitte", "hallo", "guten tag", "danke", "kannst du mir bitte sagen", "können sie mir bitte sagen",
            "kannst du mir sagen", "können sie mir sagen", "könntest du mir sagen", "könnten sie mir sagen",
            "weißt du ,", "wissen sie ,", "ich möchte wissen", "ich würde gerne wissen", "sag mir bitte", "sag mir",
        ),
        "fr": (
            "bonjour", "salut", "merci", "pouvez-vous me dire", "peux-tu me dire", "pourriez-vous me dire",
            "pourrais-tu me dire", "je voudrais savoir", "j aimerais savoir", "dis-moi", "dites-moi", "est-ce que",
        ),
        "es": (
            "hola", "por favor", "me puedes decir", "puedes decirme", "puede decirme", "podrías decirme",
            "podría decirme", "quisiera saber", "me gustaría saber", "quiero saber", "dime",
        ),
        "it": (
            "ciao", "per favore", "per piacere", "puoi dirmi", "può dirmi", "potresti dirmi", "potrebbe dirmi",
            "vorrei sapere", "mi piacerebbe sapere", "dimmi",
        ),
        "pt": (
            "olá", "oi", "por favor", "você pode me dizer", "pode me dizer", "poderia me dizer", "gostaria de saber",
            "quero saber", "me diga", "diga-me",
        ),
        "nl": (
            "hallo", "alsjeblieft", "alstublieft", "kun je me vertellen", "kunt u mij vertellen",
            "ik wil graag weten", "vertel me",
        ),
    }
)  # fmt: skip
# The same behind it, where a comma stands before; `please` needs none.
CLOSINGS: Final = frozenset({"please", "thanks", "thank you", "thanks in advance", "thanks a lot", "if possible"})

# Ways of asking. The right side stands for the left one where a sentence, or a part after a comma, begins with it.
QUESTIONS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "en": (
            ("what is the meaning of", "define"), ("what is the definition of", "define"),
            ("give me the definition of", "define"), ("give me a definition of", "define"),
            ("what do we mean by", "define"), ("what is meant by", "define"),
            ("what is the way to", "how"), ("what is a way to", "how"), ("what is the right way to", "how"),
            ("what is the correct way to", "how"), ("what is the procedure to", "how"),
            ("what are the steps to", "how"), ("what steps do i take to", "how"), ("what do i do to", "how"),
            ("what do i have to do to", "how"), ("how would i go about", "how"), ("how do i go about", "how"),
            ("how is it possible to", "how"), ("show me how", "how"), ("teach me how", "how"),
            ("explain to me how", "how"), ("tell me how", "how"), ("explain how", "how"),
            ("how am i supposed to", "how"), ("how would i", "how"), ("how would you", "how"), ("how might i", "how"),
            ("how can i", "how"), ("how can we", "how"), ("how can you", "how"), ("how can one", "how"),
            ("how could i", "how"), ("how does one", "how"), ("how do i", "how"), ("how do we", "how"),
            ("how do you", "how"), ("how do people", "how"), ("how to", "how"),
            ("what is the reason that", "why"), ("what is the reason", "why"), ("for what reason", "why"),
            ("how come", "why"), ("explain to me why", "why"), ("tell me why", "why"), ("explain why", "why"),
            ("explain to me what", "what"), ("tell me what", "what"), ("explain what", "what"),
            ("tell me who", "who"), ("tell me where", "where"), ("tell me when", "when"), ("tell me which", "which"),
            ("tell me if", "whether"), ("tell me whether", "whether"), ("do you know if", "whether"),
            ("in what year", "year"), ("in which year", "year"), ("which year", "year"), ("what year", "year"),
            ("in what place", "where"), ("in which place", "where"), ("which person", "who"), ("what person", "who"),
            ("what is the name of the person who", "who"), ("what number of", "how many"),
            ("tell me the", ""), ("give me the", ""), ("show me the", ""), ("name the", ""), ("what is the", ""),
            ("what are the", ""), ("what was the", "was"), ("what were the", "were"),
            ("explain to me", "explain"), ("give me an explanation of", "explain"),
            ("give an explanation of", "explain"), ("write me", "write"), ("give me", "give"), ("show me", "give"),
            ("tell me about", "about"), ("tell me", "tell"),
            ("what is a", "define"), ("what is an", "define"), ("what is", "define"), ("what are", "define"),
        ),
        "de": (
            ("wie lautet", "was ist"), ("wie kann ich", "wie"), ("wie kann man", "wie"),
            ("aus welchem grund", "warum"), ("weshalb", "warum"), ("wieso", "warum"),
        ),
        "fr": (("comment puis-je", "comment"), ("comment peut-on", "comment")),
        "es": (("cómo puedo", "cómo"), ("cómo se puede", "cómo")),
        "it": (("come posso", "come"), ("come si può", "come")),
        "pt": (("como posso", "como"), ("como eu posso", "como")),
        "nl": (("hoe kan ik", "hoe"),),
    }
)  # fmt: skip
# At any place.
INSIDE: Final[tuple[tuple[str, str], ...]] = (
    ("in order to", "to"), ("make use of", "use"), ("with the help of", "using"), ("by means of", "using"),
    ("by using", "using"), ("with the use of", "using"), ("a lot of", "many"), ("lots of", "many"),
    ("get rid of", "remove"), ("set up", "setup"), ("find out", "determine"), ("figure out", "determine"),
)  # fmt: skip

# A sentence with one of these speaks about words: there, each one counts as it is written.
ABOUT_WORDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": listed(
            "word words mean means meaning define definition say saying said called translate translation "
            "spell spelled spelt spelling pronounce pronounced pronunciation synonym synonyms antonym "
            "antonyms rhyme rhymes etymology letters syllables grammar plural opposite title titled quote "
            "phrase term abbreviation"
        ),
        "de": listed("bedeutet bedeutung heißt wort wörter sagt sagen übersetze übersetzung reimt mehrzahl"),
        "fr": listed("signifie sens mot mots dit dire traduis traduire traduction rime synonyme pluriel"),
        "es": listed("significa significado palabra palabras dice decir traduce traducir rima sinónimo"),
        "it": listed("significa significato parola parole dice dire traduci tradurre rima sinonimo"),
        "pt": listed("significa significado palavra palavras diz dizer traduza traduzir rima sinônimo"),
        "nl": listed("betekent betekenis woord woorden zeg zeggen vertaal vertaling rijmt heet"),
    }
)
