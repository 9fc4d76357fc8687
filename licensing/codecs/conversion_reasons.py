"""Why a conversion is refused, in the languages that products ask for (their locale); English where there is no other.

A reason is a key with what belongs into its sentence, as plain data: `["unknown", {"line": 2, "tag": "x"}]`. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Reason = Sequence[Any]
MOST_SHOWN: Final = 5
LONGEST: Final = 1000
ENGLISH: Final = "en"

TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    ENGLISH: {
        "unknown": "Line {line}: there is no license {tag}.",
        "differently": "Line {line}: {before} {tag} of this product were converted on {day}, not {count}; each line is"
        " converted once.",
        "elsewhere": "Licenses of this product were converted in another Smart Account. Ask the operator.",
        "registered": "The product is registered in another Smart Account. Deregister it there first, or ask the"
        " operator.",
        "gone": "The Virtual Account was deleted meanwhile. Ask for the conversion again.",
        "lines": "Give 1 to {most} lines for each product; these are {count}.",
        "twice": "Line {line}: {tag} stands twice, and would have two counts.",
        "count": "Line {line}: the count is 1 or more.",
        "more": "And {count} more.",
    },
    "de": {
        "unknown": "Zeile {line}: Es gibt keine Lizenz {tag}.",
        "differently": "Zeile {line}: {before} {tag} dieses Produkts wurden am {day} umgewandelt, nicht {count}; jede"
        " Zeile wird einmal umgewandelt.",
        "elsewhere": "Lizenzen dieses Produkts wurden in einem anderen Smart Account umgewandelt. Fragen Sie den"
        " Betreiber.",
        "registered": "Das Produkt ist in einem anderen Smart Account registriert. Melden Sie es dort ab, oder fragen"
        " Sie den Betreiber.",
        "gone": "Der Virtual Account wurde inzwischen gelöscht. Fordern Sie die Umwandlung noch einmal an.",
        "lines": "Je Produkt sind 1 bis {most} Zeilen möglich; dies sind {count}.",
        "twice": "Zeile {line}: {tag} steht zweimal da und hätte zwei Anzahlen.",
        "count": "Zeile {line}: Die Anzahl ist mindestens 1.",
        "more": "Und {count} weitere.",
    },
    "fr": {
        "unknown": "Ligne {line} : la licence {tag} n'existe pas.",
        "differently": "Ligne {line} : {before} {tag} de ce produit ont été convertis le {day}, et non {count} ; chaque"
        " ligne n'est convertie qu'une fois.",
        "elsewhere": "Des licences de ce produit ont été converties dans un autre Smart Account. Adressez-vous à"
        " l'exploitant.",
        "registered": "Le produit est enregistré dans un autre Smart Account. Désenregistrez-le là-bas, ou"
        " adressez-vous à l'exploitant.",
        "gone": "Le Virtual Account a été supprimé entre-temps. Redemandez la conversion.",
        "lines": "Chaque produit a de 1 à {most} lignes ; il y en a {count}.",
        "twice": "Ligne {line} : {tag} figure deux fois et aurait deux quantités.",
        "count": "Ligne {line} : la quantité est d'au moins 1.",
        "more": "Et {count} autres.",
    },
    "es": {
        "unknown": "Línea {line}: no existe la licencia {tag}.",
        "differently": "Línea {line}: el {day} se convirtieron {before} {tag} de este producto, no {count}; cada línea"
        " se convierte una sola vez.",
        "elsewhere": "Se convirtieron licencias de este producto en otra Smart Account. Consulte al operador.",
        "registered": "El producto está registrado en otra Smart Account. Anule allí su registro o consulte al"
        " operador.",
        "gone": "La Virtual Account se eliminó entretanto. Vuelva a solicitar la conversión.",
        "lines": "Cada producto tiene de 1 a {most} líneas; hay {count}.",
        "twice": "Línea {line}: {tag} aparece dos veces y tendría dos cantidades.",
        "count": "Línea {line}: la cantidad es 1 o más.",
        "more": "Y {count} más.",
    },
}


def explain(reasons: Sequence[Reason], locale: str = ENGLISH) -> str:
    """The sentences in the language of the locale (`de_DE.UTF-8`), the first few of many."""
    texts = TEXTS.get(locale[:2].lower() if locale[2:3] in ("", "_", "-", ".") else "", TEXTS[ENGLISH])
    sentences = [texts[key].format(**values) for key, values in reasons[:MOST_SHOWN]]
    if len(reasons) > MOST_SHOWN:
        sentences.append(texts["more"].format(count=len(reasons) - MOST_SHOWN))
    return " ".join(sentences)[:LONGEST]
