"""The words for times of the languages that write with spaces, besides English.

Texts are compared in lower case and without accents (:func:`.other_languages.plain`), so the words
here have none. They are regular expressions: ``{n}`` stands for a number, ``{unit}`` for a day, a
week, a month or a year, ``{weekday}`` for a day of the week.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .spans import Unit


@dataclass(frozen=True, slots=True)
class TimeWords:
    """How a language says times. Every text is a regular expression.

    Attributes:
        known_by: frequent words that tell the language, where its script does not.
        months: January to December, in all their forms.
        short: the same, shortened; they count beside a day or a year only.
        careful: numbers of months that count only beside a day, a year or ``month_in``, since
            their name has other meanings.
        month_in: what stands before a month in a sentence ("in").
        weekdays: Monday to Sunday.
        weekday: how a past day of the week is said.
        numbers: the words for one, two, three, ...
        units: a day, a week, a month, a year, in any form.
        ago: "two weeks ago".
        latest: "the last two weeks".
        said: words for one time, and how many units back that is.
        recently: words such as "recently".
        last_night: words such as "last night".
        last_weekend: words such as "last weekend".
        early, mid, late: what stands before a month that is meant in part.
        early_after, mid_after, late_after: what stands after it.
        seasons: spring, summer, autumn, winter.
        season_in: what stands before a season that is a time.
        season_last: what makes it one that has ended, before or after it.
        not_then: what stands before a time that is not meant ("before", "since", "until").
        not_then_after: what stands after it.
        joint: what may stand between a day, a month and a year.
        day_after: whether a day follows its month ("March 5").
    """

    months: tuple[str, ...]
    weekdays: tuple[str, ...]
    numbers: tuple[str, ...]
    units: tuple[str, str, str, str]
    said: Mapping[str, tuple[int, Unit]]
    ago: str
    known_by: str = ""
    short: tuple[str, ...] = ()
    careful: tuple[int, ...] = ()
    month_in: str = ""
    weekday: str = ""
    latest: str = ""
    recently: str = ""
    last_night: str = ""
    last_weekend: str = ""
    early: str = ""
    mid: str = ""
    late: str = ""
    early_after: str = ""
    mid_after: str = ""
    late_after: str = ""
    seasons: tuple[str, ...] = ()
    season_in: str = ""
    season_last: str = ""
    not_then: str = ""
    not_then_after: str = ""
    joint: str = ""
    day_after: bool = False


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SHORT = "jan feb mar apr jun jul aug sept? okt nov dec"

GERMAN = TimeWords(
    known_by="was wann wo wer wie habe haben hat ich wir der die das und mit ist war mein meine "
    "meinem meinen welche welcher welches nicht im am zum zur bei den dem ein eine einen von",
    months=_words(
        "januar|janner februar|feber marz|maerz april mai juni juli august september oktober "
        "november dezember"
    ),
    short=_words("jan feb mrz|mar apr mai jun jul aug sept? okt nov dez"),
    weekdays=_words("montag dienstag mittwoch donnerstag freitag samstag|sonnabend sonntag"),
    weekday=r"(?:am|(?:am )?(?:letzten|vergangenen|vorigen)) {weekday}",
    numbers=_words("eine[mrn]?|ein zwei drei vier funf sechs sieben acht neun zehn elf zwolf"),
    units=("tag(?:en|e)?", "wochen?", "monat(?:en|e)?", "jahr(?:en|e)?"),
    ago=r"vor {n} {unit}",
    latest=r"(?:letzten|vergangenen) {n} {unit}",
    said={
        r"vorgestern": (2, "day"),
        r"gestern": (1, "day"),
        r"heute": (0, "day"),
        r"(?:letzte[rn]?|vergangene[rn]?|vorige[rn]?) woche": (1, "week"),
        r"diese[r]? woche": (0, "week"),
        r"(?:letzten|vergangenen|vorigen) monat": (1, "month"),
        r"diese[nm] monat": (0, "month"),
        r"(?:letzte[sn]|vergangene[sn]|vorige[sn]) jahr": (1, "year"),
        r"diese[sm] jahr": (0, "year"),
    },
    recently="kurzlich|neulich",
    last_night="letzte nacht|gestern (?:abend|nacht)",
    last_weekend="(?:letztes|letzten|vergangenes|vergangenen) wochenende|am wochenende",
    early="anfang|beginn",
    mid="mitte",
    late="ende",
    seasons=_words("fruhling|fruhjahr sommer herbst winter"),
    season_in="im|letzten|letzter|vergangenen|diesen|diesem",
    season_last="letzten|vergangenen",
    not_then="(?:vor|nach|seit|bis|als)(?: de[mnr]| zum)?",
)
DUTCH = TimeWords(
    known_by="wat wanneer waar wie hoe heb hebben heeft ik wij we de het een en met is was mijn "
    "welke welk niet op bij naar van ons onze",
    months=_words(
        "januari februari maart april mei juni juli augustus september oktober november december"
    ),
    short=_words("jan feb mrt apr mei jun jul aug sept? okt nov dec"),
    weekdays=_words("maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"),
    weekday=r"(?:op|(?:op )?(?:afgelopen|vorige)) {weekday}",
    numbers=_words("een twee drie vier vijf zes zeven acht negen tien elf twaalf"),
    units=("dag(?:en)?", "we[e]?k(?:en)?", "maand(?:en)?", "jaar|jaren"),
    ago=r"{n} {unit} geleden",
    latest=r"(?:afgelopen|laatste) {n} {unit}",
    said={
        r"eergisteren": (2, "day"),
        r"gisteren": (1, "day"),
        r"vandaag": (0, "day"),
        r"(?:vorige|afgelopen) week": (1, "week"),
        r"deze week": (0, "week"),
        r"(?:vorige|afgelopen) maand": (1, "month"),
        r"deze maand": (0, "month"),
        r"(?:vorig|afgelopen) jaar": (1, "year"),
        r"dit jaar": (0, "year"),
    },
    recently="onlangs|recent",
    last_night="(?:vannacht|gisteravond)",
    last_weekend="(?:vorig|afgelopen|het) weekend",
    early="begin(?: van)?",
    mid="midden(?: in)?|half",
    late="eind(?: van)?",
    seasons=_words("lente|voorjaar zomer herfst|najaar winter"),
    season_in="in de|afgelopen|vorige|deze",
    season_last="afgelopen|vorige",
    not_then="voor|na|sinds|tot|dan",
)
SWEDISH = TimeWords(
    known_by="vad nar var vem hur har hade jag vi den det en ett och med ar min mitt mina vilken "
    "vilket inte pa till fran som gjorde",
    months=_words(
        "januari februari mars april maj juni juli augusti september oktober november december"
    ),
    short=_words(_SHORT.replace("mar ", "mars? ").replace("apr ", "apr maj ")),
    careful=(3,),
    month_in="i",
    weekdays=_words("mandag tisdag onsdag torsdag fredag lordag sondag"),
    weekday=r"(?:i {weekday}s|pa {weekday}en|forra {weekday}en)",
    numbers=_words("en|ett tva tre fyra fem sex sju atta nio tio elva tolv"),
    units=("dag(?:ar)?", "veck(?:a|or)", "manad(?:er)?", "ar"),
    ago=r"for {n} {unit} sed[ae]n",
    latest=r"senaste {n} {unit}(?:na|en)?",
    said={
        r"i forrgar": (2, "day"),
        r"i ?gar": (1, "day"),
        r"i ?dag|idag": (0, "day"),
        r"forra veckan": (1, "week"),
        r"den har veckan|denna vecka": (0, "week"),
        r"forra manaden": (1, "month"),
        r"den har manaden|denna manad": (0, "month"),
        r"forra aret|i fjol": (1, "year"),
        r"i ar|det har aret": (0, "year"),
    },
    recently="nyligen",
    last_night="i natt|i gar kvall|igar kvall",
    last_weekend="forra helgen|i helgen",
    early="i borjan av|borjan av|tidigt i",
    mid="i mitten av|mitten av",
    late="i slutet av|slutet av|sent i",
    seasons=_words("var(?:en|as)? sommar(?:en|as)?|somras host(?:en|as)? vinter(?:n)?|vintras"),
    season_in="pa|under|forra|i",
    season_last="forra|i",
    not_then="fore|efter|sedan|till|innan|an",
)
DANISH = TimeWords(
    known_by="hvad hvornar hvor hvem hvordan har havde jeg vi den det en et og med er min mit mine "
    "hvilken hvilket ikke pa til fra som gjorde",
    months=_words(
        "januar februar marts april maj juni juli august september oktober november december"
    ),
    short=_words(_SHORT.replace("apr ", "apr maj ")),
    weekdays=_words("mandag tirsdag onsdag torsdag fredag lordag sondag"),
    weekday=r"(?:i {weekday}s|pa {weekday}en|sidste {weekday})",
    numbers=_words("en|et to tre fire fem seks syv otte ni ti elleve tolv"),
    units=("dage?", "uger?", "maned(?:er)?", "ar"),
    ago=r"for {n} {unit} siden",
    latest=r"(?:seneste|sidste) {n} {unit}",
    said={
        r"i forgars": (2, "day"),
        r"i ?gar": (1, "day"),
        r"i ?dag": (0, "day"),
        r"(?:sidste|forrige) uge": (1, "week"),
        r"denne uge": (0, "week"),
        r"(?:sidste|forrige) maned": (1, "month"),
        r"denne maned": (0, "month"),
        r"sidste ar|forrige ar|i fjor": (1, "year"),
        r"i ar|dette ar": (0, "year"),
    },
    recently="for nylig|fornylig",
    last_night="i gar aftes|i nat",
    last_weekend="(?:sidste|forrige) weekend|i weekenden",
    early="i begyndelsen af|begyndelsen af|starten af|tidligt i",
    mid="i midten af|midten af",
    late="i slutningen af|slutningen af|sent i",
    seasons=_words("forar(?:et)? sommer(?:en)? efterar(?:et)? vinter(?:en)?"),
    season_in="om|i|sidste|denne",
    season_last="sidste",
    not_then="for|efter|siden|indtil|til|end",
)
NORWEGIAN = TimeWords(
    known_by="hva nar hvor hvem hvordan har hadde jeg vi den det en et og med er min mitt mine "
    "hvilken hvilket ikke pa til fra som gjorde",
    months=_words(
        "januar februar mars april mai juni juli august september oktober november desember"
    ),
    short=_words(_SHORT.replace("apr ", "apr mai ").replace("dec", "des")),
    careful=(3,),
    month_in="i",
    weekdays=_words("mandag tirsdag onsdag torsdag fredag lordag sondag"),
    weekday=r"(?:pa {weekday}|forrige {weekday}|sist {weekday})",
    numbers=_words("en|et to tre fire fem seks sju|syv atte ni ti elleve tolv"),
    units=("dag(?:er)?", "uker?", "maned(?:er)?", "ar"),
    ago=r"for {n} {unit} siden",
    latest=r"siste {n} {unit}(?:ne|ene)?",
    said={
        r"i forgars": (2, "day"),
        r"i ?gar": (1, "day"),
        r"i ?dag": (0, "day"),
        r"forrige uke|sist uke": (1, "week"),
        r"denne uka|denne uken": (0, "week"),
        r"forrige maned|sist maned": (1, "month"),
        r"denne maneden": (0, "month"),
        r"i fjor|forrige ar": (1, "year"),
        r"i ar|dette aret": (0, "year"),
    },
    recently="nylig",
    last_night="i natt|i gar kveld",
    last_weekend="forrige helg|i helga|i helgen",
    early="i begynnelsen av|begynnelsen av|tidlig i",
    mid="i midten av|midten av|midt i",
    late="i slutten av|slutten av|sent i",
    seasons=_words("var(?:en)? sommer(?:en)? host(?:en)? vinter(?:en)?"),
    season_in="om|i|forrige|sist|pa",
    season_last="forrige|sist",
    not_then="for|etter|siden|til|enn",
)
FRENCH = TimeWords(
    known_by="que qu quoi quand ou qui comment ai as a avons avez ont j je nous tu le la les des "
    "du et avec est etait mon ma mes quel quelle quels ne pas au aux un une de en fait",
    months=_words(
        "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre"
    ),
    short=_words("janv fevr? mars avr mai juin juil aout sept oct nov dec"),
    careful=(3, 5),
    month_in="en|de|mois de|debut|fin|mi",
    weekdays=_words("lundi mardi mercredi jeudi vendredi samedi dimanche"),
    weekday=r"{weekday} (?:dernier|passe)",
    numbers=_words("une? deux trois quatre cinq six sept huit neuf dix onze douze"),
    units=("jours?", "semaines?", "mois", "ans?|annees?"),
    ago=r"il y a {n} {unit}",
    latest=r"(?:ces|les|des) {n} (?:derniers|dernieres|derniere|dernier) {unit}",
    said={
        r"avant[- ]hier": (2, "day"),
        r"hier": (1, "day"),
        r"aujourd.?hui": (0, "day"),
        r"(?:la )?semaine (?:derniere|passee)": (1, "week"),
        r"cette semaine": (0, "week"),
        r"(?:le )?mois (?:dernier|passe)": (1, "month"),
        r"ce mois(?:-ci| ci)?": (0, "month"),
        r"l.?(?:annee derniere|an dernier|annee passee|an passe)": (1, "year"),
        r"cette annee": (0, "year"),
    },
    recently="recemment|dernierement",
    last_night="hier soir|la nuit derniere|cette nuit",
    last_weekend="(?:le )?week-?end dernier|ce week-?end",
    early="debut(?: de)?|au debut d[eu](?: mois)?(?: de)?",
    mid="mi|a la mi|milieu de",
    late="fin(?: de)?|a la fin de",
    seasons=_words("printemps ete automne hiver"),
    season_in="au|en|cet|ce|l",
    season_last="dernier",
    not_then="avant|apres|depuis|jusqu.?en|jusqu.?au|que",
    joint="de|du",
)
SPANISH = TimeWords(
    known_by="que cuando donde quien como he hemos ha hice hicimos yo nosotros el la los las y con "
    "es era mi mis cual cuales no en al del un una de por para se",
    months=_words(
        "enero febrero marzo abril mayo junio julio agosto septiembre|setiembre octubre noviembre "
        "diciembre"
    ),
    short=_words("ene feb mar abr may jun jul ago sept? oct nov dic"),
    careful=(5,),
    month_in="en|de|mes de",
    weekdays=_words("lunes martes miercoles jueves viernes sabado domingo"),
    weekday=r"(?:el {weekday} pasado|el pasado {weekday}|el {weekday})",
    numbers=_words("una?|un dos tres cuatro cinco seis siete ocho nueve diez once doce"),
    units=("dias?", "semanas?", "mes(?:es)?", "anos?"),
    ago=r"hace {n} {unit}",
    latest=r"(?:ultim[oa]s|pasad[oa]s) {n} {unit}",
    said={
        r"anteayer|antes de ayer": (2, "day"),
        r"ayer": (1, "day"),
        r"hoy": (0, "day"),
        r"(?:la )?(?:semana pasada|ultima semana|pasada semana)": (1, "week"),
        r"esta semana": (0, "week"),
        r"(?:el )?(?:mes pasado|ultimo mes|pasado mes)": (1, "month"),
        r"este mes": (0, "month"),
        r"(?:el )?(?:ano pasado|ultimo ano|pasado ano)": (1, "year"),
        r"este ano": (0, "year"),
    },
    recently="recientemente|ultimamente",
    last_night="anoche|ayer por la noche",
    last_weekend="(?:el )?fin de semana(?: pasado)?",
    early="(?:a )?principios de|(?:a )?comienzos de|inicios de",
    mid="(?:a )?mediados de",
    late="(?:a )?fin(?:es|ales)? de",
    seasons=_words("primavera verano otono invierno"),
    season_in="en|en el|en la|el|la|este|esta|el pasado|la pasada",
    season_last="pasad[oa]",
    not_then="antes de|despues de|desde|hasta|antes del|despues del|que",
    joint="del?",
)
PORTUGUESE = TimeWords(
    known_by="que quando onde quem como fiz fizemos eu nos o a os as e com foi era meu minha meus "
    "minhas qual quais nao em no na do da um uma de por para se",
    months=_words(
        "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro"
    ),
    short=_words("jan fev mar abr mai jun jul ago set out nov dez"),
    careful=(3,),
    month_in="em|de|mes de",
    weekdays=_words(
        "segunda(?:-feira)? terca(?:-feira)? quarta(?:-feira)? quinta(?:-feira)? sexta(?:-feira)? "
        "sabado domingo"
    ),
    weekday=r"(?:n[ao] (?:ultim[ao] )?{weekday}(?: passad[ao])?|{weekday} passad[ao])",
    numbers=_words("uma?|um duas|dois tres quatro cinco seis sete oito nove dez onze doze"),
    units=("dias?", "semanas?", "mes(?:es)?", "anos?"),
    ago=r"(?:ha {n} {unit}|{n} {unit} atras)",
    latest=r"ultim[oa]s {n} {unit}",
    said={
        r"anteontem": (2, "day"),
        r"ontem": (1, "day"),
        r"hoje": (0, "day"),
        r"(?:na |a )?(?:semana passada|ultima semana)": (1, "week"),
        r"(?:n?esta|n?essa) semana": (0, "week"),
        r"(?:no |o )?(?:mes passado|ultimo mes)": (1, "month"),
        r"n?este mes": (0, "month"),
        r"(?:no |o )?(?:ano passado|ultimo ano)": (1, "year"),
        r"n?este ano": (0, "year"),
    },
    recently="recentemente|ultimamente",
    last_night="ontem a noite",
    last_weekend="(?:no )?fim de semana(?: passado)?",
    early="(?:no )?(?:inicio|comeco|principio) de",
    mid="(?:em )?(?:meados|meio) de",
    late="(?:no )?(?:fim|final) de",
    seasons=_words("primavera verao outono inverno"),
    season_in="no|na|em|neste|nesta|no ultimo|na ultima",
    season_last="passad[oa]",
    not_then="antes de|depois de|desde|ate|que",
    joint="de",
)
ITALIAN = TimeWords(
    known_by="che cosa quando dove chi come ho abbiamo ha io noi il lo la i gli le e con era mio "
    "mia miei quale quali non nel nella del della al un una di per si",
    months=_words(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre"
    ),
    short=_words("gen feb mar apr mag giu lug ago sett? ott nov dic"),
    weekdays=_words("lunedi martedi mercoledi giovedi venerdi sabato domenica"),
    weekday=r"(?:{weekday} scors[oa]|(?:lo )?scors[oa] {weekday})",
    numbers=_words("una?|uno due tre quattro cinque sei sette otto nove dieci undici dodici"),
    units=("giorn[oi]", "settiman[ae]", "mes[ei]", "ann[oi]"),
    ago=r"{n} {unit} fa",
    latest=r"ultim[ie] {n} {unit}",
    said={
        r"l.?altro ieri|avantieri": (2, "day"),
        r"ieri": (1, "day"),
        r"oggi": (0, "day"),
        r"(?:la )?(?:settimana scorsa|scorsa settimana|settimana passata)": (1, "week"),
        r"questa settimana": (0, "week"),
        r"(?:il |lo )?(?:mese scorso|scorso mese|mese passato)": (1, "month"),
        r"questo mese": (0, "month"),
        r"(?:l.?|lo )?(?:anno scorso|scorso anno|anno passato)": (1, "year"),
        r"quest.?anno": (0, "year"),
    },
    recently="recentemente|ultimamente",
    last_night="ieri sera|ieri notte|la scorsa notte",
    last_weekend="(?:lo )?(?:scorso (?:fine settimana|weekend)|(?:fine settimana|weekend) scorso)",
    early="(?:all.?)?inizio(?: di)?|inizi di|ai primi di",
    mid="(?:a )?meta(?: di)?",
    late="(?:alla )?fine(?: di)?",
    seasons=_words("primavera estate autunno inverno"),
    season_in="in|la|l|scors[oa]|questa|questo|quest",
    season_last="scors[oa]",
    not_then="prima del?|prima di|dopo|dal|da|fino a|fino al|entro",
    joint="di|del",
)
ROMANIAN = TimeWords(
    known_by="ce cand unde cine cum am ai avem a au eu noi si cu este era meu mea mei care nu in "
    "la pe din un o de pentru s-a ne mi",
    months=_words(
        "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie "
        "decembrie"
    ),
    short=_words("ian feb mar apr mai iun iul aug sept? oct n(?:oi|ov) dec"),
    careful=(5,),
    month_in="in|din|luna",
    weekdays=_words("luni marti miercuri joi vineri sambata duminica"),
    weekday=r"{weekday}a? trecuta?",
    numbers=_words(
        "un|o doua|doi trei patru cinci sase sapte opt noua zece unsprezece doisprezece"
    ),
    units=("zi(?:le)?", "saptaman[ai]", "lun[ai]", "ani?"),
    ago=r"acum {n} (?:de )?{unit}",
    latest=r"ultim(?:ele|ii) {n} (?:de )?{unit}",
    said={
        r"alaltaieri": (2, "day"),
        r"ieri": (1, "day"),
        r"azi|astazi": (0, "day"),
        r"saptamana trecuta": (1, "week"),
        r"saptamana (?:aceasta|asta)": (0, "week"),
        r"luna trecuta": (1, "month"),
        r"luna (?:aceasta|asta)": (0, "month"),
        r"anul trecut": (1, "year"),
        r"anul (?:acesta|asta)": (0, "year"),
    },
    recently="recent|de curand",
    last_night="aseara|azi-noapte|noaptea trecuta",
    last_weekend="weekend(?:ul)? trecut",
    early="(?:la )?inceputul(?: lunii| lui)?",
    mid="(?:la )?(?:mijlocul|jumatatea)(?: lunii| lui)?",
    late="(?:la )?sfarsitul(?: lunii| lui)?",
    seasons=_words("primavar[ae]a? var[ae]a? toamn[ae]a? iarn[ae]a?"),
    season_in="in|din|aceasta",
    season_last="trecuta",
    not_then="inainte de|dupa|din|pana in|pana la|decat",
)
FINNISH = TimeWords(
    known_by="mita mika milloin missa kuka miten miksi mina me olen olemme oli on ja kanssa minun "
    "meidan ei mihin mista kun tein teimme kenen",
    months=tuple(
        stem + r"kuu\w*"
        for stem in _words("tammi helmi maalis huhti touko kesa heina elo syys loka marras joulu")
    ),
    weekdays=_words("maanantai tiistai keskiviikko torstai perjantai lauantai sunnuntai"),
    weekday=r"(?:viime )?{weekday}na",
    numbers=_words(
        "yksi|yhden kaksi|kahden kolme|kolmen nelja|neljan viisi|viiden kuusi|kuuden "
        "seitseman kahdeksan yhdeksan kymmenen yksitoista kaksitoista"
    ),
    units=(r"paiv\w+", r"viik\w+", r"kuukau\w+", r"vuo\w+"),
    ago=r"(?:{n} )?{unit} sitten",
    latest=r"viimei\w+ {n} {unit}",
    said={
        r"toissapaivana": (2, "day"),
        r"eilen": (1, "day"),
        r"tanaan": (0, "day"),
        r"viime viikolla": (1, "week"),
        r"talla viikolla": (0, "week"),
        r"viime kuussa": (1, "month"),
        r"tassa kuussa": (0, "month"),
        r"viime vuonna": (1, "year"),
        r"tana vuonna": (0, "year"),
    },
    recently="askettain|hiljattain|viime aikoina",
    last_night="viime yona|eilen illalla",
    last_weekend="viime viikonloppuna|viikonloppuna",
    early_after="alussa",
    mid_after="puolivalissa|puolessavalissa",
    late_after="lopussa",
    seasons=(r"kevaa\w+", r"kesa\w+", r"syks\w+", r"talv\w+"),
    season_in="viime|tana",
    season_last="viime",
    not_then="ennen",
    not_then_after="jalkeen|asti|mennessa|lahtien",
)
HUNGARIAN = TimeWords(
    day_after=True,
    known_by="mit mi mikor hol ki hogyan hogy volt voltam voltunk es az egy en mi velem nem milyen "
    "melyik hova honnan csinaltam csinaltunk ezt azt mennyi",
    months=tuple(
        stem + r"(?:ban|ben|i|ra|re|tol|ig|ban|\b)\w*"
        for stem in _words(
            "januar februar marcius aprilis majus junius julius augusztus szeptember oktober "
            "november december"
        )
    ),
    short=_words("jan febr? marc apr maj jun jul aug szept? okt nov dec"),
    weekdays=_words("hetfo kedd szerda csutortok pentek szombat vasarnap"),
    weekday=r"(?:mult )?{weekday}(?:on|en|n)?(?<=n)|mult {weekday}",
    numbers=_words("egy ket|ketto harom negy ot hat het nyolc kilenc tiz tizenegy tizenket"),
    units=(r"nap\w*", r"het\w*", r"honap\w*", r"ev\w*"),
    ago=r"(?:{n} (?:nappal|hettel|honappal|evvel) ezelott|{n} {unit} ezelott)",
    latest=r"(?:elmult|utobbi) {n} {unit}",
    said={
        r"tegnapelott": (2, "day"),
        r"tegnap": (1, "day"),
        r"ma": (0, "day"),
        r"(?:a )?mult heten": (1, "week"),
        r"ezen a heten|e heten": (0, "week"),
        r"(?:a )?mult honapban": (1, "month"),
        r"ebben a honapban": (0, "month"),
        r"tavaly|(?:a )?mult evben": (1, "year"),
        r"iden|ebben az evben": (0, "year"),
    },
    recently="nemreg|mostanaban",
    last_night="tegnap este|tegnap ejjel|mult ejjel",
    last_weekend="(?:a )?mult hetvegen|hetvegen",
    early_after="elejen",
    mid_after="kozepen",
    late_after="vegen",
    seasons=(r"tavas\w+", r"nyar\w+", r"os[sz]\w+", r"tel\w+"),
    season_in="mult|iden|tavaly",
    season_last="mult|tavaly",
    not_then_after="elott|utan|ota",
)
TURKISH = TimeWords(
    known_by="ne nerede nereye kim nasil neden ve ile bir bu ben biz benim bizim hangi degil mi mu "
    "icin gittim yaptim yaptik gittik kac kimle neler nereden",
    months=tuple(
        stem + r"(?:'?[dt][ae]ki|'?[dt][ae]n?|'?[iu]n?|\b)"
        for stem in _words(
            "ocak subat mart nisan mayis haziran temmuz agustos eylul ekim kasim aralik"
        )
    ),
    weekdays=_words("pazartesi sali carsamba persembe cuma cumartesi pazar"),
    weekday=r"(?:gecen )?{weekday} gunu|gecen {weekday}",
    numbers=_words(r"bir iki uc dort bes alti yedi sekiz dokuz on on\s?bir on\s?iki"),
    units=(r"gun\w*", r"hafta\w*", r"ay\w*", r"(?:yil|sene)\w*"),
    ago=r"{n} {unit} once",
    latest=r"son {n} {unit}",
    said={
        r"evvelsi gun|onceki gun": (2, "day"),
        r"dun": (1, "day"),
        r"bugun": (0, "day"),
        r"gecen hafta": (1, "week"),
        r"bu hafta": (0, "week"),
        r"gecen ay": (1, "month"),
        r"bu ay": (0, "month"),
        r"gecen (?:yil|sene)": (1, "year"),
        r"bu (?:yil|sene)": (0, "year"),
    },
    recently="son zamanlarda|gecenlerde",
    last_night="dun gece|dun aksam",
    last_weekend="gecen hafta sonu|hafta sonu",
    early_after="(?:ayi(?:nin)? )?basinda|(?:ayi(?:nin)? )?baslarinda",
    mid_after="(?:ayi(?:nin)? )?ortasinda|(?:ayi(?:nin)? )?ortalarinda",
    late_after="(?:ayi(?:nin)? )?sonunda|(?:ayi(?:nin)? )?sonlarinda",
    seasons=(r"ilkbahar\w*", r"yaz(?:in)?", r"sonbahar\w*", r"kis(?:in)?"),
    season_in="gecen|bu",
    season_last="gecen",
    not_then_after=r"(?:ayi(?:ndan)? )?(?:once\w*|sonra\w*|beri|kadar)",
)
GREEK = TimeWords(
    months=tuple(
        stem + r"\w*"
        for stem in _words(
            "ιανουαρι φεβρουαρι μαρτι απριλι μαι ιουνι ιουλι αυγουστ σεπτεμβρι οκτωβρι νοεμβρι "
            "δεκεμβρι"
        )
    ),
    weekdays=_words("δευτερα τριτη τεταρτη πεμπτη παρασκευη σαββατο κυριακη"),
    weekday=r"(?:την περασμενη {weekday}|το περασμενο {weekday}|(?:την|το) {weekday})",
    numbers=_words(
        "ενα[ν]?|μια|μιας δυο τρεις|τρια τεσσερις|τεσσερα πεντε εξι επτα|εφτα οκτω|οχτω "
        "εννεα|εννια δεκα εντεκα δωδεκα"
    ),
    units=(r"(?:ημερ|μερ)\w+", r"εβδομαδ\w+", r"μην\w+", r"χρον\w+|ετη|ετος"),
    ago=r"πριν(?: απο)? {n} {unit}",
    latest=r"τελευται\w+ {n} {unit}",
    said={
        r"προχθες|προχτες": (2, "day"),
        r"χθες|χτες": (1, "day"),
        r"σημερα": (0, "day"),
        r"(?:την )?(?:περασμενη|προηγουμενη) εβδομαδα": (1, "week"),
        r"αυτη την? εβδομαδα": (0, "week"),
        r"(?:τον )?(?:περασμενο|προηγουμενο) μηνα": (1, "month"),
        r"αυτον? τον μηνα": (0, "month"),
        r"περσι|περυσι|τον προηγουμενο χρονο": (1, "year"),
        r"φετος": (0, "year"),
    },
    recently="προσφατα|τελευταια(?! [0-9])",
    last_night="χθες το βραδυ|χτες το βραδυ",
    last_weekend="(?:το )?(?:περασμενο )?σαββατοκυριακο",
    early="(?:στις )?αρχες(?: του)?",
    mid="(?:στα )?μεσα(?: του)?",
    late="(?:στο|στα )?τελ(?:η|ος)(?: του)?",
    seasons=(r"ανοιξη", r"καλοκαιρι", r"φθινοπωρο", r"χειμωνα"),
    season_in="την|το|τον|περσινο|περασμενο|περασμενη",
    season_last="περσινο|περασμενο|περασμενη",
    not_then="πριν(?: το| απο| τον| την)?|μετα(?: το| απο| τον| την)?|απο|μεχρι|ως",
    joint="του",
)
RUSSIAN = TimeWords(
    months=_words(
        r"январ[ьяеюи]\w* феврал[ьяеюи]\w* март(?:а|е|у|ом)? апрел[ьяеюи]\w* ма[йяею](?:м)? "
        r"июн[ьяеюи]\w* июл[ьяеюи]\w* август\w* сентябр[ьяеюи]\w* октябр[ьяеюи]\w* "
        r"ноябр[ьяеюи]\w* декабр[ьяеюи]\w*"
    ),
    short=_words("янв фев мар апр мая? июн июл авг сент? окт ноя дек"),
    weekdays=_words("понедельник вторник сред[ау] четверг пятниц[ау] суббот[ау] воскресенье"),
    weekday=r"(?:во?|(?:во? )?прошл(?:ый|ую|ое)) {weekday}",
    numbers=_words(
        "один|одну|одна|одного два|две три четыре пять шесть семь восемь девять десять "
        "одиннадцать двенадцать"
    ),
    units=(r"(?:день|дня|дней)", r"недел\w+", r"месяц\w*", r"(?:год\w*|лет)"),
    ago=r"(?:{n} )?{unit} назад",
    latest=r"последни[ехм]\w* {n} {unit}",
    said={
        r"позавчера": (2, "day"),
        r"вчера": (1, "day"),
        r"сегодня": (0, "day"),
        r"(?:на )?прошлой неделе": (1, "week"),
        r"(?:на )?этой неделе": (0, "week"),
        r"(?:в )?прошлом месяце": (1, "month"),
        r"(?:в )?этом месяце": (0, "month"),
        r"(?:в )?прошлом году": (1, "year"),
        r"(?:в )?этом году": (0, "year"),
    },
    recently="недавно|в последнее время",
    last_night="прошлой ночью|вчера вечером|вчера ночью",
    last_weekend="(?:в |на )?(?:прошлые|прошлых) выходны[ех]|(?:в |на )выходны[ех]",
    early="(?:в )?начале",
    mid="(?:в )?середине",
    late="(?:в )?конце",
    seasons=(r"весн(?:ой|у)", r"лет(?:ом|о)", r"осен(?:ью|ь)", r"зим(?:ой|у)"),
    season_in="прошлой|прошлым|прошлое|прошлую|этой|этим",
    season_last="прошл[а-я]+",
    not_then="до|после|с|со|перед|чем|по",
)
ARABIC = TimeWords(
    months=(
        "يناير|كانون الثاني",
        "فبراير|شباط",
        "مارس|اذار",
        "ابريل|نيسان",
        "مايو|ايار",
        "يونيو|حزيران",
        "يوليو|تموز",
        "اغسطس|اب(?= [0-9])",
        "سبتمبر|ايلول",
        "اكتوبر|تشرين الاول",
        "نوفمبر|تشرين الثاني",
        "ديسمبر|كانون الاول",
    ),
    weekdays=_words("الاثنين الثلاثاء الاربعاء الخميس الجمعه السبت الاحد"),
    weekday=r"(?:يوم {weekday}|{weekday} الماضي)(?: الماضي)?",
    numbers=_words("واحد اثنين ثلاثه?|ثلاث اربعه? خمسه? سته? سبعه? ثماني?ه? تسعه? عشره?"),
    units=(
        r"(?:يوم|ايام|يوما)",
        r"(?:اسبوع|اسابيع|اسبوعا)",
        r"(?:شهر|اشهر|شهور|شهرا)",
        r"(?:سنه|سنوات|سنين|عام|اعوام)",
    ),
    ago=r"(?:قبل|منذ) (?:{n} )?{unit}",
    latest=r"اخر {n} {unit}",
    said={
        r"اول امس|قبل امس": (2, "day"),
        r"امس|البارحه": (1, "day"),
        r"اليوم": (0, "day"),
        r"(?:قبل|منذ) يومين": (2, "day"),
        r"(?:قبل|منذ) اسبوعين": (2, "week"),
        r"(?:قبل|منذ) شهرين": (2, "month"),
        r"(?:قبل|منذ) (?:سنتين|عامين)": (2, "year"),
        r"الاسبوع الماضي": (1, "week"),
        r"هذا الاسبوع": (0, "week"),
        r"الشهر الماضي": (1, "month"),
        r"هذا الشهر": (0, "month"),
        r"العام الماضي|السنه الماضيه": (1, "year"),
        r"هذا العام|هذه السنه": (0, "year"),
    },
    recently="مؤخرا",
    last_night="الليله الماضيه|ليله امس",
    last_weekend="(?:نهايه|عطله نهايه) الاسبوع(?: الماضي)?",
    early="(?:في )?(?:اوائل|بدايه|مطلع)(?: شهر)?",
    mid="(?:في )?(?:منتصف|اواسط)(?: شهر)?",
    late="(?:في )?(?:اواخر|نهايه)(?: شهر)?",
    seasons=("(?:ال)?ربيع", "(?:ال)?صيف", "(?:ال)?خريف", "(?:ال)?شتاء"),
    season_in="في|فصل|هذا",
    season_last="الماضي",
    not_then="قبل|بعد|منذ|حتي",
    joint="من|عام|سنه",
)
TAMIL = TimeWords(
    day_after=True,
    months=(
        r"ஜனவரி\w*",
        r"பிப்ரவரி\w*",
        r"மார்ச்\w*",
        r"ஏப்ரல்?\w*",
        r"மே(?= மாத| [0-9]|[0-9])",
        r"ஜூன்?\w*",
        r"ஜூலை\w*",
        r"ஆகஸ்ட்?\w*",
        r"செப்டம்பர்?\w*",
        r"அக்டோபர்?\w*",
        r"நவம்பர்?\w*",
        r"டிசம்பர்?\w*",
    ),
    weekdays=_words(
        "திங்கட்கிழமை|திங்கள் செவ்வாய்க்கிழமை|செவ்வாய் புதன்கிழமை|புதன் வியாழக்கிழமை|வியாழன் "
        "வெள்ளிக்கிழமை|வெள்ளி சனிக்கிழமை|சனி ஞாயிற்றுக்கிழமை|ஞாயிறு"
    ),
    weekday=r"(?:கடந்த|போன) {weekday}",
    numbers=_words("ஒரு|ஒன்று இரண்டு|ரெண்டு மூன்று|மூணு நான்கு|நாலு ஐந்து|அஞ்சு ஆறு ஏழு எட்டு ஒன்பது பத்து"),
    units=(r"(?:நாட்கள\w*|நாள\w*)\S*", r"வார\S*", r"மாத\S*", r"(?:ஆண்ட|வருட)\S*"),
    ago=r"{n} {unit} முன்\S*",
    latest=r"(?:கடந்த|கடைசி) {n} {unit}",
    said={
        r"நேற்று முன்தினம்|முந்தாநாள்": (2, "day"),
        r"நேற்று": (1, "day"),
        r"இன்று|இன்னைக்கு": (0, "day"),
        r"(?:கடந்த|போன|சென்ற) வாரம்": (1, "week"),
        r"இந்த வாரம்": (0, "week"),
        r"(?:கடந்த|போன|சென்ற) மாதம்": (1, "month"),
        r"இந்த மாதம்": (0, "month"),
        r"(?:கடந்த|போன|சென்ற) (?:ஆண்டு|வருடம்)": (1, "year"),
        r"இந்த (?:ஆண்டு|வருடம்)": (0, "year"),
    },
    recently="சமீபத்தில்",
    last_night="நேற்று இரவு|நேற்றிரவு",
    early_after="(?:மாத )?(?:தொடக்கத்தில்|ஆரம்பத்தில்)",
    mid_after="(?:மாத )?நடுவில்",
    late_after="(?:மாத )?(?:இறுதியில்|கடைசியில்)",
    not_then_after="முன்|பிறகு|வரை",
)

#: By the name of the stemmer (:data:`indexers.text.analysis.LANGUAGES`).
TABLES: dict[str, TimeWords] = {
    "arabic": ARABIC,
    "danish": DANISH,
    "dutch": DUTCH,
    "finnish": FINNISH,
    "french": FRENCH,
    "german": GERMAN,
    "greek": GREEK,
    "hungarian": HUNGARIAN,
    "italian": ITALIAN,
    "norwegian": NORWEGIAN,
    "portuguese": PORTUGUESE,
    "romanian": ROMANIAN,
    "russian": RUSSIAN,
    "spanish": SPANISH,
    "swedish": SWEDISH,
    "tamil": TAMIL,
    "turkish": TURKISH,
}
