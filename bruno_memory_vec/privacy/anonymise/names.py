"""Names of people: those that are known of the store, and those that a text introduces.

Three ways, of which each is plain: a text says it ("my name is ..."); it is known, from a profile,
a sender, an introduction elsewhere; or it is a common given name. What follows such a name and has
a capital, too, is its surname.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Final

from bruno_memory_vec.privacy.anonymise.span import Span

_PARTICLES: Final = frozenset(
    "van von der den de da di del della dos das du la le el al bin ibn ter ten zu af mac mc y e".split()
)
# One word of a name. Its inside may have capitals, as McGregor; apostrophes only before a capital.
_LETTER: Final = r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
_WORD: Final = rf"{_LETTER}+(?:['’](?![a-zß-öø-ÿ]){_LETTER}{{2,}}|-{_LETTER}+)*"
_WORDS: Final = re.compile(_WORD)
_CAP: Final = r"(?=[^\W\d_a-zß-öø-ÿа-яёα-ωά-ώ\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3])" + _WORD
_PARTICLE: Final = r"(?:(?:van|von|der|den|de|da|di|del|della|dos|das|du|la|le|al|bin|ibn|ter|zu|af)\s|[ODdLl]['’])"
_INITIAL: Final = r"(?:[A-Z]\.\s?)"
_TITLE: Final = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Lady|Lord|Rev|Frau|Herr|Herrn|Señor|Señora|Sra|Sr|Doña|Don|Mme|Mlle|Monsieur|"
    r"Madame|M|Signor|Signora|Sig|Dott|Senhor|Senhora|Dona|Meneer|Mevrouw|Dhr|Mevr|Pan|Pani|Sayın|Господин|Госпожа|señora?|señorita|madame|monsieur|signora?|senhora?|doña|don|pani?|Aunt|Auntie|Uncle|Cousin|Grandma|Grandpa|Granny|Nurse|Officer|Sergeant|Captain|Coach|Tante|Onkel|Oma|Opa|Tía|Tío|Zia|Zio)\b\.?"
)
_FULL: Final = rf"(?P<n>{_CAP}(?:[ \u00a0]{_INITIAL}?(?:{_PARTICLE}){{0,2}}{_CAP}){{0,3}})"
#: Also without a capital, as people write in chats: one or two words.
_LOOSE: Final = rf"(?P<n>{_WORD}(?:[ \u00a0](?:{_PARTICLE}){{0,2}}{_CAP}){{0,3}})"
_I: Final = r"(?i:"

# What introduces a name; the name has a capital.
_BEFORE: Final = (
    # the writer
    r"\b(?i:i['’]m|(?<![^\W_]\s)im|i am|this is|it['’]s|here is|call me|they call me|goes by|known as|named|called|signed|sincerely yours,)\s",
    r"\b(?i:ich bin(?:['’]?s)?,?|hier ist|hier spricht|hier schreibt|nenn(?:t|en sie)? mich)\s(?:(?:die|der)\s)?",
    r"\b(?i:soy|yo soy|habla|aquí|llámame|me dicen)\s",
    r"\b(?i:je suis|moi c['’]est|c['’]est|ici)\s",
    r"\b(?i:sono|qui è|chiamami)\s",
    r"\b(?i:(?:eu )?sou)\s(?:[oa]\s)?",
    r"\b(?i:ik ben|hier is|met)\s",
    r"\b(?i:jestem|tu)\s",
    r"\b(?i:я|это|зовите меня)\s",
    r"\b(?i:ben)\s",
    r"\b(?i:jag är|jeg er|det er)\s",
    # who is spoken to
    r"(?:^|(?<=[.!?\n]\s)|(?<=\n)|(?<=[\"“>]))(?i:hi|hello|hey|dear|hiya|good (?:morning|afternoon|evening)|thanks|thank you|welcome(?: back)?|"
    r"congratulations|congrats|sorry|hallo|liebe[rs]?|moin|servus|danke|guten (?:morgen|tag|abend)|hola|querid[oa]|estimad[oa]|"
    r"gracias|buenos días|bonjour|salut|ch[eè]re?|merci|ciao|car[oa]|gentile|grazie|buongiorno|olá|oi|prezad[oa]|obrigad[oa]|hoi|"
    r"beste|dag|hej|cześć|drog[ia]|hei|merhaba|sevgili|привет|здравствуйте|дорог(?:ой|ая)|уважаем(?:ый|ая)|спасибо),?\s(?:(?:again|back|nochmal|zusammen),?\s)?",
    # who is spoken of
    r"\b(?i:(?:my|his|her|our|your|their)\s(?:\w+\s)?(?:wife|husband|partner|fianc[eé]e?|girlfriend|boyfriend|son|daughter|mother|father|mom|mum|dad|"
    r"brother|sister|aunt|uncle|cousin|niece|nephew|grand(?:mother|father|ma|pa|son|daughter)|friend|best friend|colleague|coworker|"
    r"co-worker|boss|manager|neighbou?r|roommate|flatmate|doctor|dentist|therapist|lawyer|teacher|landlord|landlady|dog-sitter|babysitter|"
    r"nanny|assistant|ex|kid|baby|twins|mate|in-law|supervisor|advisor|coach),?)(?:\s(?:is|was)\s(?:called|named))?\s",
    r"\b(?i:(?:mein(?:e[rnms]?)?|unser(?:e[rnms]?)?|sein(?:e[rnms]?)?|ihr(?:e[rnms]?)?|dein(?:e[rnms]?)?)\s(?:\w+e[rnms]?\s)?(?:frau|mann|freund(?:in)?|sohn|tochter|mutter|vater|bruder|schwester|"
    r"tante|onkel|oma|opa|kolleg(?:e|in|en)|chef(?:in)?|nachbar(?:in|n)?|ärztin|arzt|partner(?:in)?|cousine?|neffe|nichte|mitbewohner(?:in)?))\s",
    r"\b(?i:(?:mi|tu|su|nuestr[oa])\s(?:\w+\s)?(?:esposa|esposo|mujer|marido|novi[oa]|hij[oa]|madre|padre|herman[oa]|tí[oa]|abuel[oa]|prim[oa]|"
    r"amig[oa]|jef[ea]|compañer[oa]|vecin[oa]|sobrin[oa]|doctora?))\s",
    r"\b(?i:(?:ma|mon|ta|ton|sa|son|notre)\s(?:\w+\s)?(?:femme|mari|copain|copine|fils|fille|mère|père|frère|sœur|soeur|tante|oncle|ami|amie|"
    r"collègue|patron|patronne|chef|voisine?|cousine?|neveu|nièce))\s",
    r"\b(?i:(?:mi[oa]|tuo|tua|suo|sua|nostr[oa])\s(?:moglie|marito|figli[oa]|madre|padre|fratello|sorella|zi[oa]|amic[oa]|collega|capo|cugin[oa]|fidanzat[oa]|nipote))\s",
    r"\b(?i:(?:(?:o|a)\s)?(?:meu|minha)\s(?:esposa|esposo|mulher|marido|namorad[oa]|filh[oa]|mãe|pai|irmão|irmã|ti[oa]|amig[oa]|chefe|colega|prim[oa]|vizinh[oa]))\s",
    r"\b(?i:(?:mijn|zijn|haar|onze?)\s(?:vrouw|man|vriend(?:in)?|zoon|dochter|moeder|vader|broer|zus|collega|baas|buurman|buurvrouw))\s",
    r"\b(?i:(?:mój|moja|moją|moim|mojego|mojej)\s(?:żona|żoną|mąż|mężem|syn|córka|matka|ojciec|brat|siostra|przyjaciel|koleg[ai]|szef))\s",
    r"\b(?i:мо(?:я|й|ей|его|им|ю)\s(?:жен[аыуе]|муж(?:а|у|ем)?|сын(?:а|у|ом)?|доч(?:ь|ери)|мам[аыуе]|пап[аыуе]|брат(?:а|у|ом)?|сестр[аыуе]|друг(?:а|у|ом)?|подруг[аиуе]|коллег[аиуе]|начальник))\s",
    r"\b(?i:(?:karım|kocam|oğlum|kızım|annem|babam|kardeşim|arkadaşım|patronum))\s",
    r"\b(?i:sent|written|signed|reported|prepared|approved|submitted|posted|reviewed|referred) by\s",
    r"\b(?i:told|tell|asked?|met|meet|invited?|married|dating|thank|remind|phoned|e-?mailed|texted|hugged|interviewed|befriended)\s",
    r"(?:\b(?:c/o|attn:?|cc:?|z\.\s?Hd\.|To:|From:|Von:|An:|De:|Para:|À:|Da:)\s)",
    rf"(?<!\w){_TITLE}\s(?:{_TITLE}\s)?",
    r"\b(?i:(?:contact|patient|client|customer|tenant|employee|passenger|guest|cardholder|account holder|beneficiary|applicant|name|full name|"
    r"kontakt|kunde|mieter(?:in)?|gast|nombre|nom|nome|naam|cliente|paciente|titular))\s?[:=]\s",
)
# The name may be without a capital, too.
_LOOSELY_BEFORE: Final = (
    r"\b(?i:(?:my|her|his)\s(?:(?:full|first|last|real|middle|user)\s?)?name(?:['’]s|\sis)|name['’]s)\s(?!is\b|not\b)",
    r"\b(?i:ich heiße|ich heisse|mein name ist|er heißt|sie heißt)\s",
    r"\b(?i:me llamo|mi nombre es|se llama)\s",
    r"\b(?i:je m['’]appelle|mon nom est|mon prénom est|(?:il|elle) s['’]appelle)\s",
    r"\b(?i:mi chiamo|il mio nome è|si chiama)\s",
    r"\b(?i:(?:o )?meu nome é|(?:eu )?me chamo|chamo-me|(?:ele|ela) se chama)\s",
    r"\b(?i:ik heet|mijn naam is|(?:hij|zij|ze) heet)\s",
    r"\b(?i:nazywam się|mam na imię|ma na imię)\s",
    r"(?i:меня зовут|(?:его|её) зовут|моё имя)\s",
    r"\b(?i:benim adım|adım)\s",
    r"\b(?i:jag heter|jeg heter|jeg hedder|(?:hon|han) heter)\s",
)
_INTRODUCED: Final = tuple(re.compile(before + _FULL) for before in _BEFORE)
_INTRODUCED_LOOSELY: Final = tuple(re.compile(before + _LOOSE) for before in _LOOSELY_BEFORE)
# One of these words is in each text that a pattern finds something in; looking is fast.
_TOKENS: Final = re.compile(r"[^\W_]+")
_TRIGGERS: Final = tuple(
    frozenset(words.split())
    for words in (
        "m im this it its s here call goes known named called signed yours am",
        "bin hier nenn nennt nennen",
        "soy habla aquí llámame dicen",
        "suis moi est ici",
        "sono qui chiamami",
        "sou",
        "ik hier met",
        "jestem tu",
        "я это зовите",
        "ben",
        "är er",
        "hi hello hey dear hiya good thanks thank welcome congratulations congrats sorry hallo "
        "liebe lieber liebes moin servus danke guten hola querido querida estimado estimada "
        "gracias buenos bonjour salut cher chère chere chèr merci ciao caro cara gentile grazie "
        "buongiorno olá oi prezado prezada obrigado obrigada hoi beste dag hej cześć drogi droga "
        "hei merhaba sevgili привет здравствуйте дорогой дорогая уважаемый уважаемая спасибо",
        "wife husband partner fiance fiancé fiancee fiancée girlfriend boyfriend son daughter "
        "mother father mom mum dad brother sister aunt uncle cousin niece nephew grandmother "
        "grandfather grandma grandpa grandson granddaughter friend colleague coworker worker boss "
        "manager neighbor neighbour roommate flatmate doctor dentist therapist lawyer teacher "
        "landlord landlady sitter babysitter nanny assistant ex kid baby twins mate law "
        "supervisor advisor coach",
        "frau mann freund freundin sohn tochter mutter vater bruder schwester tante onkel oma opa "
        "kollege kollegin kollegen chef chefin nachbar nachbarin nachbarn ärztin arzt partner "
        "partnerin cousin cousine neffe nichte mitbewohner mitbewohnerin",
        "esposa esposo mujer marido novia novio hija hijo madre padre hermana hermano tía tío "
        "abuela abuelo prima primo amiga amigo jefe jefa compañera compañero vecina vecino "
        "sobrina sobrino doctor doctora",
        "femme mari copain copine fils fille mère père frère sœur soeur tante oncle ami amie "
        "collègue patron patronne chef voisin voisine cousin cousine neveu nièce",
        "moglie marito figlia figlio madre padre fratello sorella zia zio amica amico collega "
        "capo cugina cugino fidanzata fidanzato nipote",
        "meu minha",
        "mijn zijn haar ons onze",
        "mój moja moją moim mojego mojej",
        "моя мой моей моего моим мою",
        "karım kocam oğlum kızım annem babam kardeşim arkadaşım patronum",
        "by",
        "told tell ask asked met meet invite invited married dating thank remind phoned emailed "
        "mailed texted hugged interviewed befriended",
        "o attn cc hd to from von an de para à da",
        "mr mrs ms miss mx dr prof sir lady lord rev frau herr herrn señor señora sra sr doña don "
        "mme mlle monsieur madame m signor signora sig dott senhor senhora dona meneer mevrouw "
        "dhr mevr pan pani sayın господин госпожа señorita aunt auntie uncle cousin grandma "
        "grandpa granny nurse officer sergeant captain coach tante onkel oma opa tía tío zia zio",
        "contact patient client customer tenant employee passenger guest cardholder holder "
        "beneficiary applicant name kontakt kunde mieter mieterin gast nombre nom nome naam "
        "cliente paciente titular",
    )
)
_LOOSE_TRIGGERS: Final = tuple(
    frozenset(words.split())
    for words in (
        "name s",
        "heiße heisse name heißt",
        "llamo nombre llama",
        "appelle nom prénom",
        "chiamo nome chiama",
        "nome chamo chama",
        "heet naam",
        "nazywam imię",
        "зовут имя",
        "adım",
        "heter hedder",
    )
)
_HERE: Final = frozenset("here speaking hier aquí ici".split())
_MY: Final = frozenset(["my"])
_CLOSINGS: Final = frozenset(
    "regards wishes thanks best cheers thank sincerely yours love xoxo care soon you grüße grüßen grüsse grüssen "
    "gruß lg vg mfg bald saludo saludos abrazo abrazos beso besos atentamente cordialement vous toi bises amicalement "
    "saluti saluto presto abraço abraços atenciosamente cumprimentos groet groeten groetjes pozdrawiam hälsningar "
    "hälsning уважением saygılarımla".split()
)
_CAREFUL: Final = 12  # of _BEFORE, from the first: what may as well say what somebody is
# "Ana here", "Ana wrote:", "Ana: text"
_AFTER: Final = (
    re.compile(rf"(?:^|(?<=\n)|(?<=[.!?]\s)){_FULL}\s(?i:here|speaking|hier|aquí|ici)(?=[,.!\s])"),
    re.compile(
        rf"{_FULL}\s(?i:wrote|writes|schrieb|escribió|a écrit|ha scritto|escreveu|schreef|napisał[a]?)\s?:"
    ),
)
# "casimir is my brother": also without a capital.
_IS_MINE: Final = re.compile(
    r"(?:^|(?<=[.!?,;\n]\s)|(?<=\n)|(?<=\band\s)|(?<=\bthat\s))(?P<n>"
    + _WORD
    + r")\s(?i:is|was)\smy\s(?i:(?:\w+\s)?(?:wife|husband|partner|fianc[eé]e?|girlfriend|boyfriend|son|daughter|mother|father|"
    r"brother|sister|aunt|uncle|cousin|niece|nephew|grand\w+|friend|colleague|coworker|boss|manager|neighbou?r|roommate|flatmate))\b"
)
_SPEAKER: Final = re.compile(
    rf"(?:^|(?<=\n))(?:\[[^\]\n]{{4,30}}\]\s?)?{_FULL}(?:\s\(\w+\))?:\s(?=\S)"
)
_CLOSING: Final = re.compile(
    r"(?:^|(?<=\n)|(?<=[.!?]\s))[^\S\n]*(?i:(?:(?:all the |with )?(?:best|kind|warm|warmest|many)?\s?(?:regards|wishes|thanks)|best|cheers|thanks(?: again)?|thank you|"
    r"sincerely|yours (?:truly|sincerely|faithfully)|love|xoxo|take care|talk soon|see you|(?:mit |viele |liebe |beste |herzliche |freundliche[nm]? |schöne )*"
    r"(?:grüße[n]?|grüssen?|gruß)|lg|vg|mfg|bis bald|(?:un )?(?:saludos?|abrazo|beso)s?(?: cordiales)?|atentamente|(?:bien )?cordialement|"
    r"bien à (?:vous|toi)|bises|amicalement|(?:cordiali |un )?salut[io]|a presto|(?:um )?abraços?|atenciosamente|cumprimentos|"
    r"(?:met vriendelijke )?groet(?:en|jes)?|pozdrawiam|(?:med )?vänliga? hälsningar?|с уважением|saygılarımla))\s?[,!.–-]?\s?\n?[^\S\n]*[-–—]?\s?"
    + _FULL
    + r"[^\S\n]*(?=\n|$|[.!]|,\s?(?i:[a-z ]{2,30})(?:\n|$))"
)
_DASHED: Final = re.compile(rf"(?:\s[-–—~]|\n)\s?{_FULL}[^\S\n]*$")
# Scripts without spaces and capitals.
_HAN: Final = "\u4e00-\u9fff"
_KANA: Final = "\u3040-\u30ff"
_EASTERN: Final = (
    re.compile(
        rf"(?:我叫|我的名字是|我的名字叫|我姓名是|名叫|名字叫)(?P<n>[{_HAN}]{{2,4}}?)(?=[，。、！？,.!?\s]|是|今年|住|在|来自|$)"
    ),
    re.compile(
        rf"(?:我(?:的)?(?:妻子|丈夫|老公|老婆|儿子|女儿|朋友|同事|老板|妈妈|爸爸|哥哥|弟弟|姐姐|妹妹|医生))(?P<n>[{_HAN}]{{2,3}}?)(?=[，。、！？,.!?\s]|是|在|今|明|昨|的|说|和|要|想|喜|会|也|对|住|$)"
    ),
    re.compile(rf"(?P<n>[{_HAN}]{{1,3}})(?=(?:先生|女士|小姐|老师|医生|经理)(?![{_HAN}]?们))"),
    re.compile(
        rf"(?:私の名前は|名前は|わたしは|私は|僕は|こちらは)(?P<n>[{_HAN}{_KANA}]{{2,8}}?)(?=です|と申します|といいます|と言います)"
    ),
    re.compile(rf"(?P<n>[{_HAN}]{{2,4}}|[\u30a0-\u30ff]{{2,8}})(?=さん|様|くん|ちゃん|先生)"),
    re.compile(
        r"(?:제 이름은|저는|이름은)\s?(?P<n>[\uac00-\ud7a3]{2,4}?)(?=입니다|이에요|예요|라고|이라고)"
    ),
    re.compile(r"(?P<n>[\uac00-\ud7a3]{2,4})(?=\s?씨(?![\uac00-\ud7a3])|\s?님(?![\uac00-\ud7a3]))"),
)
# Ends that names take in German, Polish and Russian, and what they had in their place.
_GENITIVE: Final = "s"
_SLAVIC_ENDS: Final = (
    "ą ę y i owi em ie a u om ami ów ej iem owie".split(),
    "а у ом е ы и ой ою ю я ем ей ым ого ому".split(),
)
_SLAVIC_BASES: Final = frozenset("aаяйь")
_INITIAL_BETWEEN: Final = re.compile(r"\s[A-Z]\.\s?")
_MOST_SURNAMES: Final = 2
# Before a name they make a place of it, and behind it, something that was named after somebody.
_PLACES: Final = frozenset(
    "san santa santo st saint sankt são north south east west new port fort mount lake los las cape big".split()
)
_INSTITUTIONS: Final = frozenset(
    "university college school hospital institute airport street road avenue lane drive square park station bridge river lake "
    "beach island museum hotel restaurant cathedral church center centre foundation award prize county valley mountain "
    "disease syndrome theorem algorithm effect equation test method index inc ltd llc gmbh corp company group bank".split()
)
_TITLED: Final = 2  # of _EASTERN: a Chinese name before a title
_HAN_SURNAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方"
    "白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁"
    "劉陳楊黃趙吳孫馬羅鄭謝許韓馮鄧蕭蔣蔡葉蘇魏呂盧鍾譚陸賈韋鄒邱尹閻龍賀顧龔嚴莊聶魯嶽關蘭寧"
)
_HAN_SURNAMES_OF_TWO: Final = frozenset(
    "欧阳 上官 司马 诸葛 东方 皇甫 尉迟 公孙 慕容 司徒 夏侯 令狐 歐陽 司馬 諸葛 東方".split()
)
_NOT_EASTERN: Final = frozenset(
    "方便 包括 向的 安好 丁香 于是 高兴 马上 时间 关于 常常 温暖 平时 成功 全部 马云 高度 高中 高级 金融 金额 石头 时候 时常 成为 成都 成员 "
    "经常 任何 任务 安全 安排 安静 方法 方式 方面 毛病 白天 白色 黄色 黄金 钱包 钱的 牛奶 牛肉 毕业 陈述 周末 周一 周二 周三 周四 周五 周六 周日 周围 "
    "江南 江苏 何时 何地 何人 何事 余额 于此 常见 常用 万一 万元 万分 龙虎 鲁莽 段落 施工 管理 谢谢 曾经 应该 严重 严格 温度 康复 文件 文化 项目 "
    "卫生 明天 明年 向你 向他 向我 和我 和你 和他 客户 皆 客 お客 母 父 兄 姉 奥 娘 息子 患者 お母 お父 お姉 お兄 皆様 お客様 何様 王様 神 팀장 사장 부장 선생 고객 회원 여러분".split()
)
#: What joins the names of two people.
_BESIDE: Final = frozenset("and und y et e i en och og и ve".split())


def introduced(text: str) -> Iterator[Span]:
    """The names that a text itself says are names, in no particular order; they may overlap."""
    words = frozenset(_TOKENS.findall(text.lower()))
    for number, pattern in enumerate(_INTRODUCED):
        if not _TRIGGERS[number].isdisjoint(words):
            for match in pattern.finditer(text):
                yield from _checked(match, careful=number < _CAREFUL)
    for number, pattern in enumerate(_INTRODUCED_LOOSELY):
        if not _LOOSE_TRIGGERS[number].isdisjoint(words):
            for match in pattern.finditer(text):
                yield from _checked(match, careful=False)
    for triggers, pattern in ((_HERE, _AFTER[0]), (_MY, _IS_MINE), (_CLOSINGS, _CLOSING)):
        if not triggers.isdisjoint(words):
            for match in pattern.finditer(text):
                yield from _checked(match, careful=False)
    if ":" in text:
        for match in _AFTER[1].finditer(text):
            yield from _checked(match, careful=False)
        yield from _speakers(text)
    for match in _DASHED.finditer(text):
        # "- Potatoes" ends a list as often.
        if match.group("n").split()[0].lower() in given():
            yield from _checked(match, careful=True)
    if not text.isascii():
        yield from _eastern(text)


def known(
    text: str,
    names: Mapping[str, bool],
    surnames: Collection[str] = (),
    ordinary: Callable[[str], bool] = lambda word: False,
) -> Iterator[Span]:
    """The names of a text that are known, or common given names, with their surnames.

    Args:
        text: where to look.
        names: names in lower case, one word each or a phrase of a script without spaces; whether
            each counts without a capital as well.
        surnames: more, that count only with a capital, and behind which no surname follows.
        ordinary: whether a word in lower case is mostly another word where the text comes from.
    """
    words = list(_WORDS.finditer(text))
    at = 0
    while at < len(words):
        word = words[at]
        low = word.group().lower()
        end = None if ordinary(low) else _end_of_known(word.group(), names)
        if end is None or (at and _names_place(text, words, at)):
            if low in surnames and word.group()[0].isupper() and not ordinary(low):
                yield Span(*word.span(), "person", low)
            at += 1
            continue
        yield Span(word.start(), word.start() + end, "person", word.group()[:end].lower())
        at += 1
        if end == len(word.group()) and not _is_heading(text, word.start()):
            yield from _behind(text, words, at, ordinary)
    for name in names:
        if not name.isascii() and len(name) > 1 and _without_spaces(name):
            start = text.find(name)
            while start >= 0:
                yield Span(start, start + len(name), "person", name)
                start = text.find(name, start + len(name))


def surnames_in(text: str, names: Mapping[str, bool]) -> Iterator[str]:
    """The words that stand behind known names as surnames do, in lower case."""
    words = list(_WORDS.finditer(text))
    for at, word in enumerate(words):
        end = _end_of_known(word.group(), names)
        if end == len(word.group()) and not _is_heading(text, word.start()):
            for span in _behind(text, words, at + 1, lambda low: False):
                yield text[span.start : span.end].lower()


def _behind(
    text: str, words: Sequence[re.Match[str]], at: int, ordinary: Callable[[str], bool]
) -> Iterator[Span]:
    """Surnames behind a given name, two at most; and who is named beside it."""
    found = 0
    while at < len(words) and found < _MOST_SURNAMES:
        more = words[at]
        between = text[words[at - 1].end() : more.start()]
        if between not in (" ", "\u00a0") and not _INITIAL_BETWEEN.fullmatch(between):
            return
        low = more.group().lower()
        if low in _BESIDE and not found:
            at += 1
            if at < len(words) and _fits(words[at], ordinary) and text[more.end()] == " ":
                other = words[at]
                if not _names_place(text, words, at):
                    yield Span(*other.span(), "person", other.group().lower())
            return
        if low in _PARTICLES:
            at += 1
            if not (at < len(words) and text[more.end() : words[at].start()] == " "):
                return
            continue
        if not _fits(more, ordinary):
            return
        if at + 1 < len(words) and words[at + 1].group().lower() in _INSTITUTIONS:
            return
        yield Span(*more.span(), "person", low)
        found += 1
        at += 1


def _fits(word: re.Match[str], ordinary: Callable[[str], bool]) -> bool:
    return _like_surname(word.group()) and not ordinary(word.group().lower())


def _names_place(text: str, words: Sequence[re.Match[str]], at: int) -> bool:
    """Whether a name is a part of that of a place: San Francisco, James Street."""
    word = words[at]
    if at and words[at - 1].group().lower() in _PLACES and text[words[at - 1].end()] in " .":
        return words[at - 1].group()[0].isupper()
    if at + 1 < len(words) and text[word.end() : words[at + 1].start()] == " ":
        return words[at + 1].group()[0].isupper() and words[at + 1].group().lower() in _INSTITUTIONS
    return False


def _is_heading(text: str, at: int) -> bool:
    """Whether most words of a line begin with a capital, so that one tells nothing."""
    line = text[text.rfind("\n", 0, at) + 1 : (text.find("\n", at) + 1 or len(text) + 1) - 1]
    if line.rstrip().endswith((".", "!", "?", ",", "。")):
        return False
    long = [word for word in _WORDS.findall(line[:200]) if len(word) > 3]
    return len(long) > 3 and sum(word[0].isupper() for word in long) > 0.6 * len(long)


def _speakers(text: str) -> Iterator[Span]:
    """Who speaks in a dialogue: who has several lines, or a given name. Others are headings."""
    found = list(_SPEAKER.finditer(text))
    often = Counter(match.group("n") for match in found)
    for match in found if len(found) > 1 else ():
        named = match.group("n")
        if often[named] > 1 or named.split()[0].lower() in given():
            yield from _checked(match, careful=True)


def _eastern(text: str) -> Iterator[Span]:
    for number, pattern in enumerate(_EASTERN):
        for match in pattern.finditer(text):
            start, said = match.start("n"), match.group("n")
            if number == _TITLED:
                # The words before it end where a surname begins.
                while said and not _is_chinese_name(said):
                    start, said = start + 1, said[1:]
            elif number < _TITLED and not _is_chinese_name(said):
                continue
            if said and said not in _NOT_EASTERN:
                yield Span(start, start + len(said), "person", said)


def _is_chinese_name(said: str) -> bool:
    two = said[:2] in _HAN_SURNAMES_OF_TWO
    return (said[0] in _HAN_SURNAMES or two) and said not in _NOT_EASTERN


def words_of(name: str) -> list[str]:
    """The words of a name that tell somebody, in lower case: no particles, no titles, no initials."""
    if _without_spaces(name):
        return [name.strip()]
    title = re.compile(_TITLE + r"$")
    return [
        word.lower()
        for word in _WORDS.findall(name)
        if word.lower() not in _PARTICLES and len(word) > 1 and not title.match(word)
    ]


@lru_cache(maxsize=1)
def not_names() -> frozenset[str]:
    """Words that are no names, though they stand like one."""
    return _list("not_names")


@lru_cache(maxsize=1)
def ambiguous() -> frozenset[str]:
    """Given names that are other words as well."""
    return _list("ambiguous_names")


@lru_cache(maxsize=1)
def given() -> frozenset[str]:
    """Common given names that are hardly another word."""
    return _list("given_names") - ambiguous()


def _list(name: str) -> frozenset[str]:
    lines = files(__package__).joinpath(f"{name}.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _checked(match: re.Match[str], *, careful: bool) -> Iterator[Span]:
    """The words of a match that are a name. The first that is none ends it."""
    start, said = match.start("n"), match.group("n")
    found: list[Span] = []
    for word in _WORDS.finditer(said):
        low = word.group().lower()
        if low in _PARTICLES and found:
            continue
        short = len(word.group()) < 2
        if short or (low in not_names() and not (found and low in ambiguous())):
            break
        if not found and careful and _is_common(low, word.group()):
            break
        bare = re.sub(r"['’]s$", "", word.group())
        found.append(
            Span(start + word.start(), start + word.start() + len(bare), "person", bare.lower())
        )
    yield from found


def _is_common(low: str, said: str) -> bool:
    """Whether a word in capitals, or with an ending of what people are, is hardly a name."""
    if said.isupper() and len(said) > 1:
        return True
    return low not in given() and low not in ambiguous() and low.endswith(_OF_PEOPLE)


_OF_PEOPLE: Final = (
    "ing",
    "ist",
    "ian",
    "ologist",
    "isch",
    "ler",
    "iker",
    "login",
    "ingenieur",
    "ingenieurin",
    "lehrerin",
    "istin",
    "ología",
    "ogue",
)


def _end_of_known(said: str, names: Mapping[str, bool]) -> int | None:
    """How much of a word is a name: of ``Anas`` three letters where Ana is known; None for no name."""
    capital = said[0].isupper()
    low = said.lower()
    if low in names and (capital or names[low]):
        return len(said)
    if capital and low in given() and not said.isupper():
        return len(said)
    if "-" in low and capital:
        first = low.split("-")[0]
        if len(first) > 2 and (first in given() or first in names):
            return len(said)
    if not capital or len(low) < 4:
        return None
    if low.endswith(_GENITIVE) and (low[:-1] in names or low[:-1] in given()):
        return len(said) - 1
    for ends in _SLAVIC_ENDS:
        for length in (3, 2, 1):
            stem, end = low[:-length], low[-length:]
            if len(stem) < 3 or end not in ends:
                continue
            marked = not end.isascii()
            bases = [stem + base for base in ("", *_SLAVIC_BASES)]
            if any(base in names or (marked and base in given()) for base in bases):
                return len(said)
    return None


def _like_surname(said: str) -> bool:
    low = said.lower()
    if not said[0].isupper() or len(said) < 2 or low in not_names():
        return False
    return not (said.isupper() and len(said) < 4)


def _without_spaces(name: str) -> bool:
    return bool(re.fullmatch(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]+", name.strip()))


def is_ordinary(word: str, extra: Collection[str] = ()) -> bool:
    """Whether a word in lower case is another word as well, so that it needs a capital."""
    return word in ambiguous() or word in not_names() or len(word) < 3 or word in extra
