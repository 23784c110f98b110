"""Answers made up for every kind of IFEval's instructions, with the verdicts of lm-evaluation-harness.

    pip install lm_eval==0.4.13 nltk langdetect immutabledict
    python -c "import nltk; nltk.download('punkt_tab')"
    python tests/reference/ifeval.py > tests/reference/ifeval.json

The made answers are ours. langdetect draws random numbers, so its seed is set; one letter per instruction, because the harness
draws another one for what is no letter.
"""

import json
import random

import langdetect
from lm_eval.tasks.ifeval import utils

langdetect.DetectorFactory.seed = 0
rng = random.Random(7)

SENTENCES = [
    "The morning train left the old station at 7 a.m. and nobody waved.",
    "Dr. Miller paid $3.50 for the tea, didn't she?",
    "I can't remember the NAME of that ship!",
    "We met in the U.S. in 1998.",
    "Bread, salt and water were all they had.",
    "\"Stop here,\" said Mr. Brown.",
    "It rained... then it stopped.",
    "What a day!",
    "The results (see page 5) were good.",
    "She wrote J. K. a letter.",
    "NASA and the EU agreed on it.",
    "He lives at No. 5 Hill St. near the park.",
    "Costs rose by 3.5 percent. Wages fell.",
    "My cat likes the garden, e.g. the roses.",
    "They came home late at night",
]
OTHER = {
    "de": "Das Wetter ist heute sehr schön und wir gehen mit den Kindern im Wald spazieren.",
    "fr": "Le chat dort sur la table et il ne veut pas manger son repas aujourd'hui.",
    "es": "El niño juega en el jardín con su perro y después vuelve a casa para comer.",
    "it": "La ragazza legge un libro interessante mentre aspetta il treno alla stazione.",
    "pt": "O menino está brincando no jardim com o cachorro e depois vai para casa.",
    "sw": "Watoto wanacheza nje ya nyumba na mama yao anapika chakula cha jioni.",
    "fi": "Lapset leikkivät pihalla ja äiti laittaa ruokaa keittiössä tänä iltana.",
    "vi": "Hôm nay trời đẹp và chúng tôi đi dạo trong công viên với bạn bè.",
    "ru": "Сегодня хорошая погода, и мы гуляем в парке с друзьями.",
    "bg": "Днес времето е хубаво и ние се разхождаме в парка с приятели.",
    "ar": "الطقس جميل اليوم ونحن نمشي في الحديقة مع الأصدقاء.",
    "fa": "امروز هوا خوب است و ما با دوستان در پارک قدم می‌زنیم.",
    "ur": "آج موسم اچھا ہے اور ہم دوستوں کے ساتھ باغ میں ٹہل رہے ہیں۔",
    "hi": "आज मौसम अच्छा है और हम दोस्तों के साथ बगीचे में टहल रहे हैं।",
    "mr": "आज हवामान चांगले आहे आणि आम्ही मित्रांसोबत बागेत फिरत आहोत.",
    "ne": "आज मौसम राम्रो छ र हामी साथीहरूसँग बगैंचामा हिंड्दैछौं।",
    "bn": "আজ আবহাওয়া ভালো এবং আমরা বন্ধুদের সাথে বাগানে হাঁটছি।",
    "gu": "આજે હવામાન સારું છે અને અમે મિત્રો સાથે બગીચામાં ફરી રહ્યા છીએ.",
    "pa": "ਅੱਜ ਮੌਸਮ ਚੰਗਾ ਹੈ ਅਤੇ ਅਸੀਂ ਦੋਸਤਾਂ ਨਾਲ ਬਾਗ ਵਿੱਚ ਘੁੰਮ ਰਹੇ ਹਾਂ।",
    "ta": "இன்று வானிலை நன்றாக உள்ளது, நாங்கள் நண்பர்களுடன் பூங்காவில் நடக்கிறோம்.",
    "te": "ఈ రోజు వాతావరణం బాగుంది మరియు మేము స్నేహితులతో పార్కులో నడుస్తున్నాము.",
    "kn": "ಇಂದು ಹವಾಮಾನ ಚೆನ್ನಾಗಿದೆ ಮತ್ತು ನಾವು ಸ್ನೇಹಿತರೊಂದಿಗೆ ಉದ್ಯಾನದಲ್ಲಿ ನಡೆಯುತ್ತಿದ್ದೇವೆ.",
    "th": "วันนี้อากาศดีและเราเดินเล่นในสวนสาธารณะกับเพื่อน",
    "ko": "오늘은 날씨가 좋아서 친구들과 공원을 산책하고 있습니다.",
    "en": "Today the weather is nice and we walk in the park with our friends.",
}


def text(number):
    return " ".join(rng.choice(SENTENCES) for _ in range(number))


def paragraphs(number, mark):
    return mark.join(text(rng.randint(1, 2)) for _ in range(number))


def relation():
    return rng.choice(["at least", "less than"])


def around(answer):
    """The answer, or the answer between lines that only the loose judgement takes off."""
    return rng.choice([answer, answer, "Sure, here it is:\n" + answer, answer + "\nHope that helps!", "*" + answer + "*"])


def cases():
    for _ in range(12):
        yield "keywords:existence", {"keywords": rng.sample(["train", "cat", "ship", "roses"], 2)}, text(5)
        yield "keywords:frequency", {"keyword": rng.choice(["the", "cat", "a"]), "frequency": rng.randint(1, 6), "relation": relation()}, text(4)
        yield "keywords:forbidden_words", {"forbidden_words": rng.sample(["rain", "rained", "ca", "day"], 2)}, text(4)
        yield "keywords:letter_frequency", {"letter": rng.choice("aeqzt"), "let_frequency": rng.randint(1, 12), "let_relation": relation()}, text(2)
        yield "length_constraints:number_words", {"num_words": rng.randint(10, 40), "relation": relation()}, text(3)
        number = rng.randint(2, 4)
        yield "length_constraints:number_paragraphs", {"num_paragraphs": number}, around(paragraphs(rng.randint(2, 4), rng.choice(["\n***\n", "\n\n***\n\n", " *** ***"])))
        yield "length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": rng.randint(1, 2), "first_word": rng.choice(["The", "we", "stop"])}, paragraphs(2, rng.choice(["\n\n", "\n\n\n"]))
        yield "detectable_content:number_placeholders", {"num_placeholders": rng.randint(1, 3)}, "Dear [name], " + text(1) + rng.choice([" [date]", " [a [b] c]", ""])
        yield "detectable_content:postscript", {"postscript_marker": rng.choice(["P.S.", "P.P.S"])}, text(1) + rng.choice(["\nP.S. Bye", "\nP.P.S Bye", "\np. s. bye", "\nP. P.S. x", ""])
        yield "detectable_format:number_bullet_lists", {"num_bullets": rng.randint(1, 3)}, "\n".join(rng.choice(["* ", "- ", "** ", "  * ", "*"]) + rng.choice(SENTENCES) for _ in range(rng.randint(1, 3)))
        yield "detectable_format:number_highlighted_sections", {"num_highlights": rng.randint(1, 3)}, rng.choice(["*one* and **two**", "** ** *x*", "*a*b*c*", "***bold***", "no", "*one\ntwo*"]) + text(1)
        splitter = rng.choice(["Section", "SECTION", "Day"])
        yield "detectable_format:multiple_sections", {"section_spliter": splitter, "num_sections": rng.randint(1, 3)}, "\n".join(f"{rng.choice([splitter, 'Section'])} {n + 1}\n{text(1)}" for n in range(rng.randint(1, 3)))
        yield "startend:end_checker", {"end_phrase": "Any other questions?"}, text(1) + rng.choice([" Any other questions?", " any other Questions?\"", " Any other questions? No.", "\nAny other questions?*"])
        yield "change_case:capital_word_frequency", {"capital_frequency": rng.randint(1, 5), "capital_relation": relation()}, text(6)
        yield "punctuation:no_comma", {}, around(text(2))
    for sentence in SENTENCES:
        yield "length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, sentence
    for _ in range(60):
        yield "length_constraints:number_sentences", {"num_sentences": rng.randint(2, 7), "relation": relation()}, rng.choice([text, lambda n: paragraphs(n, "\n")])(rng.randint(2, 6))
    for code, sentence in OTHER.items():
        yield "language:response_language", {"language": code}, sentence
        yield "language:response_language", {"language": rng.choice(list(OTHER))}, sentence + " " + text(1)
    yield "language:response_language", {"language": "en"}, "12345 !!!"
    for answer in [text(2), text(3).upper(), text(3).lower(), OTHER["de"].upper(), OTHER["de"].lower(), "123", "A1 B2", OTHER["en"].upper(), OTHER["en"].lower()]:
        yield "change_case:english_capital", {}, answer
        yield "change_case:english_lowercase", {}, answer
    for answer in ["My answer is yes.", "my answer is no.", "Well. My answer is maybe. Or not.", "yes"]:
        yield "detectable_format:constrained_response", {}, answer
    for answer in ['{"a": [1, 2.5, null]}', "```json\n{\"a\": 1}\n```", "```\n[]\n```", "{'a': 1}", "Here:\n{\"a\": 1}", "{\"a\": 1}\nDone.", "5", "```JSON\n\"x\"\n```", "{\"a\": 1,}"]:
        yield "detectable_format:json_format", {}, answer
    for answer in ["<<Title>>\n" + text(1), "<< >> x", "<<a>> <<b>>", "<<a\nb>>", "<title>", "*<<x>>*", "<<<>>>"]:
        yield "detectable_format:title", {}, answer
    for answer in ["a\n******\nb", "a******a", "******a******b******", "a******b******c", "a****** ******b", "a\n***\nb", "*a*\n******\n*b*"]:
        yield "combination:two_responses", {}, answer
    for answer in ["Write a poem. Roses are red.", "write a POEM.", "Sure!\nWrite a poem. Roses", "Poem: write", "*Write a poem.*\nRoses"]:
        yield "combination:repeat_prompt", {"prompt_to_repeat": "Write a poem."}, answer
    for answer in ['"Yes."', '"', '""', ' "a" ', "'a'", 'Sure:\n"a"', '*"a"*', '"a" b']:
        yield "startend:quotation", {}, answer
    for answer in [" ", "\n\n", "*"]:
        yield "punctuation:no_comma", {}, answer


out = []
for id, kwargs, answer in cases():
    given = utils.InputExample(key=0, instruction_id_list=[id], prompt="", kwargs=[kwargs])
    strict = utils.test_instruction_following_strict(given, answer).follow_instruction_list[0]
    loose = utils.test_instruction_following_loose(given, answer).follow_instruction_list[0]
    out.append({"id": id, "kwargs": kwargs, "answer": answer, "strict": bool(strict), "loose": bool(loose)})
print("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in out) + "\n]")
