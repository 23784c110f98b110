"""How transformers renders chat templates, and which tokens it takes for the assistant's.

Writes templates.json: {"seconds": the time that strftime_now shows, "cases": [{"name", "template", "messages", "opening" (whether
the assistant's turn is opened), then "text" or "error", and for templates with generation blocks "ids" and "mask"}]}. The
tokenizer is the lab's, datasets/lab/model; the templates are ours, in the styles of well-known models.

    python make_templates.py [FILE]       FILE defaults to templates.json beside this script
"""

import datetime
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

HERE = Path(__file__).resolve().parent
SECONDS = 1709210096


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(SECONDS, datetime.timezone.utc)


U, A, S = "user", "assistant", "system"
PAIR = [[U, " What is 2 + 3? "], [A, "It is 5.\nDone"]]
TWO = [[U, "x = 4"], [A, "first"], [U, "y = x"], [A, "second one"]]
SYSTEM = [[S, "Be brief."], [U, "a <b> & 'c' \"d\""], [A, "né 🙂"]]
ODD = [[U, "<think>x</think>y"], [A, "<think>\nreason\n</think>\n\nanswer"]]

THOUGHTS = [[S, "Be brief."], [U, "x"], [A, "<think>\nwhy\n</think>\n\nfirst"], [U, "y"], [A, "<think>\nso\n</think>\n\nsecond"]]
# As Qwen 3's, without tools: thoughts of earlier turns are cut out, the last answer has a block of thoughts, perhaps an empty one.
QWEN3 = r"""{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""

LOOP = "{%% for m in messages %%}%s{%% endfor %%}"
# name, template, messages, whether the turn is opened
RENDERED = [
    ("blocks are trimmed", "{% for m in messages %}\n    {% if m.role == 'user' %}\nQ: {{ m.content }}\n    {% else %}\nA: {{ m.content }}\n    {% endif %}\n{% endfor %}\nend\n\n", TWO, False),
    ("line ends of Windows", "{% for m in messages %}\r\n{{ m.role }}:\r\n{{ m.content }}\r\n{% endfor %}\r\n", TWO, False),
    ("minus signs", "  {%- for m in messages -%}  {{- m.content -}}  {%- endfor -%}  x", TWO, False),
    ("plus signs", "{% for m in messages %}\n  {%+ if true +%}\n{{ m.role }}{% endif %}\n{% endfor %}", TWO, False),
    ("comments", "{# a {% comment %} #}\nx{#- more -#}  \n y", PAIR, False),
    ("raw", "{% raw %}{{ x }}{% endraw %}{{ messages[0].role }}", PAIR, False),
    ("tojson", LOOP % "{{ m | tojson }}\n", SYSTEM, False),
    ("tojson with arguments", "{{ {'b': [1, none, true, 2.5], 'a': 'é🙂'} | tojson(indent=2, sort_keys=true, ensure_ascii=true) }}{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}", PAIR, False),
    ("a refusal", "{% if messages[0].role != 'user' %}{{ raise_exception('Conversation must start with a user message, got ' + messages[0].role + '.') }}{% endif %}x", SYSTEM, False),
    ("another refusal in the loop", LOOP % "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}", SYSTEM, False),
    ("no tools", "{% if tools is defined and tools %}tools{% else %}none{% endif %}{{ tools is none }}{{ documents is none }}{{ builtin_tools is defined }}", PAIR, False),
    ("break and continue", "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content }}{% if loop.index > 1 %}{% break %}{% endif %}{% endfor %}", TWO, False),
    ("date", "{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M, %A %B %j') }}{% if strftime_now is defined %}!{% endif %}", PAIR, False),
    ("namespace", "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m.role == 'assistant' %}{% set ns.found = true %}{% set ns.n = ns.n + loop.index %}{% endif %}{% endfor %}{{ ns.found }}{{ ns.n }}", TWO, False),
    ("set in a loop does not leak", "{% set x = 1 %}{% for m in messages %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}", TWO, False),
    ("slices", "{{ messages[1:] | length }}{{ messages[::-1][0].content }}{{ messages[-1].content[:3] }}{{ messages[0].content[-2:] }}", TWO, False),
    ("opening", LOOP % "<{{ m.role }}>{{ m.content | trim }}\n" + "{% if add_generation_prompt %}<assistant>{% endif %}", PAIR, True),
    ("opening if the last is a user", "{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}<assistant>{% endif %}", PAIR, True),
    ("loop variables", LOOP % "{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }}{% if loop.previtem is defined %}{{ loop.previtem.role }}{% endif %}{% if not loop.last and loop.nextitem.role == 'assistant' %}+{% endif %};", TWO, False),
    ("methods of text", "{{ messages[0].content.strip().split(' ')[1].upper() }}{{ messages[1].content.replace('5', 'five').startswith('It') }}{{ 'aXbXc'.rsplit('X', 1) if false else 'abc'.removeprefix('a').removesuffix('c') }}{{ 'a-b-c'.partition('-')[2] }}{{ 'a-b-c'.rpartition('-')[0] }}{{ '12'.isdigit() }}{{ ' x '.lstrip() }}|{{ 'xxaxx'.strip('x') }}{{ 'a\nb'.splitlines() | length }}", PAIR, False),
    ("thoughts are cut out", LOOP % "{% set c = m.content %}{% if '</think>' in c %}{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ m.role }}: {{ c }}\n", ODD, False),
    ("methods of objects", LOOP % "{% for key, value in m.items() %}{{ key }}={{ value }};{% endfor %}{{ m.get('name', 'none') }}{{ m.keys() | list | length }}{{ 'tool_calls' in m }}", PAIR, False),
    ("tests", LOOP % "{{ m.content is string }}{{ m is mapping }}{{ messages is iterable }}{{ m.content is sequence }}{{ m.name is defined }}{{ m.name is not defined }}{{ none is none }}{{ 3 is number }}{{ true is boolean }}{{ 4 is even }}\n", PAIR, False),
    ("filters", "{{ messages | map(attribute='role') | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='content') | first }}{{ missing | default('d') }}{{ [3, 1, 2] | sort | last }}{{ 'a b' | title }}{{ 3.7 | int }}{{ 'abc' | replace('b', 'B') | capitalize }}{{ messages | last | length }}", TWO, False),
    ("what is printed", "{{ true }} {{ none }} {{ 1.0 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ [1, 'a', none, true] }} {{ {'a': 1} }} {{ 'x' ~ 1 ~ none }} {{ undefined_name }}|", PAIR, False),
    ("conditions", "{{ 'a' if messages | length > 1 else 'b' }}{{ 'x' if false }}{{ not messages }}{{ messages and 1 }}{{ 1 in [1, 2] and 'a' not in 'bc' }}{{ 1 < 2 < 3 }}", PAIR, False),
    ("macros", "{% macro turn(m, end='.') %}[{{ m.role }}|{{ m.content | trim }}{{ end }}]{% endmacro %}{% for m in messages %}{{ turn(m) }}{{ turn(m, end='!') }}{% endfor %}", PAIR, False),
    ("nothing is escaped", LOOP % "{{ m.content }}{{ m.content | safe }}{{ '<' ~ m.role ~ '>' }}", SYSTEM, False),
    ("blocks of set", "{% set head %}\n  {{ messages[0].role }}!\n{% endset %}{{ head }}{% set a, b = 1, 2 %}{{ a + b }}", PAIR, False),
    ("filters as blocks", "{% filter upper %}{{ messages[0].role }} x{% endfilter %}", PAIR, False),
    ("else of a loop", "{% for m in messages if m.role == 'tool' %}{{ m.content }}{% else %}no tool{% endfor %}", PAIR, False),
    ("escapes in strings", "{{ 'a\\n\\tb\\\\c\\'d' }}{{ \"\\u00e9\\x41\" }}{{ 'line\nbreak' }}", PAIR, False),
    ("numbers in dictionaries", "{% set d = {'a': {'b': [1, 2]}} %}{{ d.a.b[1] }}{{ d['a']['b'] | sum }}{{ dict(x=1).x }}{% for k, v in d | dictsort %}{{ k }}{% endfor %}", PAIR, False),
    ("range", "{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}{{ range(5) | list | length }}", PAIR, False),
    ("end of file", "{{ messages[0].role }}\n", PAIR, False),
    ("the first of a text", "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] %}{% set rest = messages[1:] %}{% else %}{% set first = 'You help.' %}{% set rest = messages %}{% endif %}{{ first }}|{% for m in rest %}{{ m['role'] }}{% endfor %}", SYSTEM, False),
    ("as Qwen 3, thoughts", QWEN3, THOUGHTS, False),
    ("as Qwen 3, no thoughts", QWEN3, TWO, False),
    ("as Qwen 3, opening", QWEN3, THOUGHTS[:4], True),
    ("as Qwen 3, opening without thinking", "{% set enable_thinking = false %}" + QWEN3, THOUGHTS[:4], True),
    ("indent", "{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}", PAIR, False),
]

OPEN, CLOSE = "{% generation %}", "{% endgeneration %}"
LAB = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|end|>{% else %}BODY{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
CHATML = "{%- for m in messages %}\n    {%- if m.role == 'assistant' %}\n        {{- '<|assistant|>' + m.role + '\\n' }}\n        {%- generation %}\n            {{- m.content + '<|end|>' }}\n        {%- endgeneration %}\n        {{- '\\n' }}\n    {%- else %}\n        {{- '<|user|>' + m.role + '\\n' + m.content + '<|end|>' + '\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|assistant|>assistant\\n' }}\n{%- endif %}\n"
HEADERS = "{{- bos_token }}\n{%- for m in messages %}\n{%- if m.role == 'assistant' %}{{- '<|assistant|>assistant\\n\\n' }}{% generation %}{{- m['content'] | trim + '<|end|>' }}{% endgeneration %}{%- else %}{{- '<|user|>' + m['role'] + '\\n\\n' + m['content'] | trim + '<|end|>' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|assistant|>assistant\\n\\n' }}{%- endif %}"
MASKED = [
    ("answer and end", LAB.replace("BODY", "<|assistant|>" + OPEN + "{{ m.content }}<|end|>" + CLOSE)),
    ("answer alone", LAB.replace("BODY", "<|assistant|>" + OPEN + "{{ m.content }}" + CLOSE + "<|end|>")),
    ("minus signs", LAB.replace("BODY", "<|assistant|>\n{%- generation -%}\n  {{- m.content }}<|end|>\n{%- endgeneration -%}\n")),
    ("as ChatML", CHATML),
    ("as Llama 3", HEADERS),
    ("a variable of the block", LAB.replace("BODY", "<|assistant|>{% set x = 'a' %}" + OPEN + "{% set x = m.content + '<|end|>' %}{{ x }}" + CLOSE + "{% if x != 'a' %}leaked{% endif %}")),
    ("conditions in the block", LAB.replace("BODY", "<|assistant|>" + OPEN + "{% if m.content %}{% for part in m.content.split(' ') %}{{ part }}{% if not loop.last %} {% endif %}{% endfor %}{% endif %}<|end|>" + CLOSE)),
]


def main(file):
    chat_template_utils.datetime = Clock
    tokenizer = AutoTokenizer.from_pretrained(HERE.parents[1] / "datasets/lab/model")
    dicts = lambda pairs: [{"role": role, "content": content} for role, content in pairs]
    cases = []
    for name, template, messages, opening in RENDERED:
        case = {"name": name, "template": template, "messages": messages, "opening": opening}
        try:
            case["text"] = tokenizer.apply_chat_template(dicts(messages), chat_template=template, tokenize=False, add_generation_prompt=opening)
        except Exception as error:
            case["error"] = str(error)
        cases.append(case)
    for name, template in MASKED:
        for messages in [PAIR, TWO, ODD]:
            out = tokenizer.apply_chat_template(dicts(messages), chat_template=template, return_dict=True, return_assistant_tokens_mask=True)
            text = tokenizer.apply_chat_template(dicts(messages), chat_template=template, tokenize=False)
            cases.append({"name": name, "template": template, "messages": messages, "opening": False, "text": text, "ids": out["input_ids"], "mask": out["assistant_masks"]})
    rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    file.write_text(f'{{"seconds": {SECONDS}, "cases": [\n{rows}\n]}}\n')
    for case in cases:
        print(case["name"], "|", repr(case.get("text", case.get("error"))), sum(case.get("mask", [])))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "templates.json")
