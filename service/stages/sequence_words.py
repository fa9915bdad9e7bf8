r"""What people call series: words of English, German, French, Spanish, Italian, Dutch, Portuguese.

Text is compared in lower case, without accents, with single spaces for all separators
(`folded_words`). An entry is a regular expression for whole words: ``diff\w*`` is any word that
begins with diff, and ``swi`` is not found in swirl.
"""


def whole_words(*entries: str) -> str:
    """Return the regular expression that finds one of the entries as whole words."""
    return rf"\b(?:{'|'.join(entries)})\b"


def without(pattern: str, *entries: str) -> str:
    """Return the pattern for text that has none of the entries, as parts of words."""
    return rf"^(?!.*(?:{'|'.join(entries)})).*(?:{pattern})"


# Diffusion.
DIFFUSION = whole_words(
    *(r"[a-z]{0,3}dwi\w*", "dw", r"diff\w*", r"difu\w*", "resolve", "ep2d diff"),
    *(r"trace\w*", r"isotrop\w*", "isodwi", "traccia", "traza", "spur"),
    r"b ?[= ]?(800|900|1000|1200|1500|2000)",
)
DIFFUSION_PLAIN = whole_words("dwi", r"diff\w*", r"difu\w*")
TRACE = whole_words(
    *(r"trace\w*", r"isotrop\w*", "isodwi", "iso dwi", "average dwi"),
    *("traccia", "traza", "spur"),
)
TENSOR = whole_words(
    *(r"dti\w*", r"tensor\w*", "mddw", r"dir ?\d+", r"\d+ ?dir\w*", "hardi", "dsi", "noddi"),
    *(r"\w*dki", "qball", "multishell", r"tracto\w*", r"mb\d? ?diff"),
)
ADC = whole_words(
    *(
        r"(d|iso|av|s)?adc\w{0,4}",
        "avdc",
        "cda",
        r"dcoeff?",
        r"(apparent|scheinbar)\w* diff\w*",
        "average dc",
    ),
    *(r"co\w*ff?ici\w* (de |di |d )?(difus|diff)\w*", r"diff\w* ?coeff?\w*"),
)
EXPONENTIAL = whole_words(
    *(r"e ?adc\w*", "adc e", r"e[sx]p\w* (adc|apparent|diff)\w*", r"adc e[sx]p\w*"),
    *(r"e[sx]ponen\w*", r"exp ?atten\w*", r"adc inv\w*"),
)
ANISOTROPY = whole_words("fa", "colfa", "cfa", "fractional", r"ani[sz]otrop\w*")
COLOUR_ANISOTROPY = whole_words("col ?fa", r"fractional anis\w*")
FIBRES = whole_words(
    *("tensor", r"fib(er|re)\w*", r"tracto\w*", r"eigen\w*", r"(radial|axial|mean) diff\w*"),
)

# Susceptibility.
_SUSCEPTIBILITY_WORDS = whole_words(
    *(r"swi\d?d?", "swip", "swan", "eswan", "fsbb", "bsi", "veno?bold", "ven bold"),
    *("susc", r"sus[cz]ept\w*", r"suscet\w*"),
)
SUSCEPTIBILITY = rf"(?:{_SUSCEPTIBILITY_WORDS}|swi3d)"
SWI_MAGNITUDE = whole_words("mag", "mag images?", r"magnitud\w*", "magn", r"betrag\w*")
MINIMUM_PROJECTION = whole_words(
    *("min ?ips?", "mip images sw", r"mip sw\w*", r"minimum (intensity|proj)\w*"),
    *("swi mips?", "mips? swi"),
)
T2_STAR = r"\bt2 ?\*|" + whole_words(
    *(r"t2 ?(star|stern|ster|etoile|estrella|stella|estrela|asterisco)\w*", "qsm"),
    *(r"h(ae|e|a)mo\w*", r"h(a|e|ae)morr?h?ag\w*", r"emorrag\w*", r"microbl\w*", r"blut\w*"),
    *("sangrado", "sangramento", r"bloeding\w*", r"saign\w*", "medic", "merge", "aspire"),
    *("gre t2", "t2 gre", r"gre ?2d t2\w*", "t2w? ffe", "ffe t2w?", "t2 fl", "mgre", "megre"),
    *(
        "me ?gre",
        "t2s",
        "(t2)?m ?ffe",
        "t2w? (fl2d|flash|gradient|merge|eg|ge)",
        r"gradient\w*( ?echo\w*)? t2\w*",
        r"eco de gradiente\w*",
        r"emosider\w*",
        "echo de gradient",
    ),
)
T2_STAR_EPI = r"\bt2 ?\*|" + whole_words(r"t2 ?(star|stern|etoile)", r"h(ae|e|a)mo\w*")
PHASE = (
    SUSCEPTIBILITY + "|" + whole_words(r"pha(se)? ?(images?|maps?|bild\w*)?", r"phas\w*", "fase")
)
FILTERED_PHASE = whole_words("filt(ered)? pha(se)?", "pha images?", "phase images?")

_ANY_PROJECTION = whole_words("m(in)? ?ips?", r"minim\w*")
SWI_PROJECTION = rf"{SUSCEPTIBILITY}.*{_ANY_PROJECTION}|{_ANY_PROJECTION}.*{SUSCEPTIBILITY}"
SWI_PHASE = whole_words(r"(swi|swan|suszept\w*|suscept\w*)\b.*\b(phas\w*|pha|fase)")

# Vessels.
TIME_OF_FLIGHT = whole_words(
    *(r"\w*tof\w*", "time of flight", "flugzeit", "temps de vol", "tiempo de vuelo"),
    *(
        "tempo di volo",
        "tempo de voo",
        "vluchttijd",
        "3di mc",
        "s3di",
        "willis",
        "3d inflow",
        "inflow",
    ),
)
ANGIOGRAPHY = whole_words(r"angio\w*", "mra", r"arter\w*")
# `min ip` and `mip` of susceptibility-weighted images are something else.
NOT_BRIGHTEST = r"\bsw|\bmin ?ip|\bswan\b|\bven bold\b"
PROJECTION = whole_words(
    *("mips?", r"collapse\w*", "pjn", r"proj\w*", "col", r"rot\w* (lr|hf|ap|cow|mra)", "vrt?"),
)
PROJECTION_PLAIN = (
    whole_words("mips?", r"collapse\w*", "pjn", r"pro[jyi]\w*", "vrt?", r"(3d ?)?rot\w*", "curved")
    + "|^col "
)
CONTRAST_ANGIOGRAPHY = whole_words(
    *(r"ce ?(mra|angio)\w*", "k?twist", "tricks", "keyhole", "bolus", "care bolus", "4d ?mra"),
)
FLOW = whole_words(
    *("pca", "phase contrast", "contraste de phase", r"venc\w*", "pc3d", "3d ?pc", "2d ?pc"),
    *("pc ?(mra|venc)", "inhance", "flusso", "fluss", "(?<!blood )flow(?! ?comp)"),
)

# Relaxation.
FLAIR = whole_words(
    *("(t2 ?)?flair", r"flair\w*", "dark ?fl(uid)?", "tirm", "fluid (attenuated|suppressed)"),
)
FLAIR_PLAIN = without(whole_words("(t2)?flair", "dark ?fluid"), r"\bt1")
T1_FLAIR = whole_words(r"t1 ?\w* ?flair", "flair ?t1", "t1 ?(tirm|ir|dark)")
T2 = without(
    r"\bs?t2w?\b(?! ?(eg\b|ge\b|\*|star|ster|etoile|estrella|stella|flair|gre|ffe|fl|hemo))",
    *("flair", "dark ?fl", r"tirm\b", r"\bstir\b", "gradient"),
)
T1 = whole_words(
    *(r"\w?t1(flair)?", r"\w?t1w\w*", r"3d ?t1\w*", "t1map", r"mp ?rage\w*", "mp2rage", "bravo"),
    *("f?spgr", "vibe", "thrive", "mdixon", "tfe ?3d", "3d ?tfe", "me ?mp ?rage", "mem?pr"),
)
PROTON_DENSITY = whole_words("pdw?", "pd t2", r"proton\w*", "dp")
STIR = whole_words("stir")
DOUBLE_INVERSION = without(
    whole_words("dir", "double inversion"), r"\d ?dir", r"dir ?\d\d", r"\bdti", "dwi", "diff"
)
RELAXATION_MAP = (
    whole_words(r"t[12] ?(map\w*|\*? ?maps?)", r"t2 ?\* ?map\w*", r"r2 ?(star|map\w*)", "mt on")
    + r"|\br2 ?\*"
)
STEADY_STATE = whole_words(
    *("ciss", r"fiesta\w*", r"trufi\w*", "true ?fisp", "bffe", "balanced", "b ?tfe", "drive"),
)

# Function.
FUNCTIONAL = whole_words(
    *("bold", r"\w*fmri", r"func\w*", r"rest\w*", "sbref", r"task\w*", "nback"),
    *(r"ruhe\w*", "reposo", "riposo", "repouso", "repos"),
)
FUNCTIONAL_PLAIN = whole_words("bold", r"\w*fmri", "func", "sbref")
PERFUSION = whole_words(r"dsc\w*", "perf", r"perfus\w*", "pwi", r"durchblut\w*")
PERFUSION_MAP = whole_words(
    *(r"(r|rel)?(cbv|cbf|mtt|ttp)\w*", "tmax", "time to peak", "mean transit"),
)
SPIN_LABELLING = whole_words(
    *("(p|pc|c|v|3d ?|2d ?)?asl", r"pc?asl\w*", "3dasl", r"asl\w*", r"arterial spin\w*"),
    *(r"spin label\w*", "tgse", "marquage de spins?", r"m0 (calib|scan)\w*"),
    *("cerebral blood flow", "perfusion weighted"),
)

# What was computed from images, and no longer shows what they do.
PROCESSED = (
    whole_words(
        *(r"mask\w*", r"maske\w*", r"residual\w*", r"fus(ed|ion)\w*", r"overlay\w*", "r2 ?star"),
        *(
            r"subtract\w*",
            r"(susc\w*|t[12] ?star|t[12]) ?(map|maps|mapping|karte)",
            r"segmentation\w*",
        ),
    )
    + r"|\br2 ?\*|\bt2 ?\* ?map"
)
PROCESSED_IF_DERIVED = whole_words(
    *("qsm", "swim", "sub", "noise", "error", "difference image"),
)
# The image below a drawn lesion keeps its label, but not its values.
DRAWN_ON = whole_words(r"lesion\w*")

# Everything else.
FIELD_MAP = whole_words(
    *(
        r"fld ?map\w*",
        r"\w*field ?map\w*",
        "gre field",
        r"b[01] ?(map|shim|amp)\w*",
        r"fmap\w*",
        r"shim\w*",
    ),
    *(r"feldkarte\w*", "carte de champ", "mapa de campo", "mappa di campo", "tfl b1map"),
)
B0 = whole_words("b0(?! ?(dwi|dti|diff))")
BLIP_REVERSED = whole_words(
    *("se ?epi", r"spin ?echo ?field\w*", r"topup\w*", r"dist(ortion)? ?corr\w*", r"fmap\w*"),
    *(r"\w*field ?map\w*", r"distortion\w*", r"blip\w*", "rev ?pe", "pepolar", "fm"),
)
LOCALIZER = whole_words(
    *(r"locali[sz]\w*", "localizador", "localizzatore", "loc", r"loc ?\d", r"scout\w*", r"aah\w*"),
    *(
        r"\w*survey\w*",
        "smartbrain",
        r"pilot\w*",
        r"3 ?plane\w*",
        r"(3|tres?|trois|drei|three) ?(plan\w*|pian\w*|ebenen|vlakken)",
    ),
    *(r"3 ?pl(ane)? ?loc", "plan ?scan", "quick ?scan", r"topogram\w*"),
    *(r"lokali\w*", r"ubersicht\w*", r"reperage\w*", "centrage", r"overzicht\w*"),
    *(r"posizion\w*", r"planeam\w*"),
)
SETUP = whole_words(
    *(r"calib\w*", r"asset ?cal\w*", "ref ?scan", "ref(erence)? ?head", r"sense ?ref\w*"),
    *(r"coil ?sens\w*", "cal (head|brain)", "prescan", "senseref", "coca"),
)
EXCHANGE = without(whole_words(r"apt\w*", "cest", r"mt\d?", "mtc", "mtr", "mgt"), "flair", "tof")
SPECTRUM = whole_words(
    *("(2d ?)?csi", r"svs\w*", r"spectro\w*", r"phoenix\w*", r"screen ?sav\w*"),
    r"evidence doc\w*",
)
