"""How transformers renders conversations that are more than roles and texts: calls of tools and what they gave back, tools, documents,
thoughts, parts of content, and keys that only a template knows.

Writes conversations.json: {"templates": {name: source}, "rows": {name: a row of a data set}, "cases": [{"template", "row", "opening"
(whether the assistant's turn is opened), then "text" or "error"}]}. A row is what a line of a .jsonl file holds; the variables tools,
documents and those of chat_template_kwargs are handed over as apply_chat_template takes them. The templates are ours, in the styles of
well-known models; bos_token is <s>, eos_token is </s>.

    python make_conversations.py [FILE]       FILE defaults to conversations.json beside this script
"""

import json
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

HERE = Path(__file__).resolve().parent

TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather in a city, <now> & 'here'.", "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Köln", "Paris"], "default": None}, "days": {"type": "integer", "minimum": 1, "maximum": 1e16}}, "required": ["city"]}}}
CALL = {"id": "call_0001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2, "scale": 0.5, "tiny": 1e-7, "all": None, "sure": True}}}
OTHER = {"id": "call_0002", "type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
TEXT_CALL = {"id": "call_0003", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Köln\"}"}}
U = {"role": "user", "content": "What is the weather in \"Köln\"?"}
A = {"role": "assistant", "content": "Rain, 12 °C."}
S = {"role": "system", "content": "Be brief."}
GAVE = {"role": "tool", "tool_call_id": "call_0001", "name": "weather", "content": "{\"rain\": true, \"t\": 12.0}"}

ROWS = {
    "plain": {"messages": [U, A]},
    "call": {"messages": [U, {"role": "assistant", "tool_calls": [CALL]}, GAVE, A], "tools": [TOOL]},
    "call, content none": {"messages": [S, U, {"role": "assistant", "content": None, "tool_calls": [CALL]}, GAVE, A], "tools": [TOOL]},
    "call beside text": {"messages": [U, {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}, GAVE, A], "tools": [TOOL]},
    "two calls": {"messages": [U, {"role": "assistant", "content": "", "tool_calls": [CALL, OTHER]}, GAVE, {"role": "tool", "tool_call_id": "call_0002", "content": "12"}, A], "tools": [TOOL]},
    "arguments as text": {"messages": [U, {"role": "assistant", "content": None, "tool_calls": [TEXT_CALL]}, {"role": "tool", "tool_call_id": "call_0003", "content": "1.50"}, A], "tools": [TOOL]},
    "ends in a call": {"messages": [S, U, {"role": "assistant", "content": None, "tool_calls": [CALL]}], "tools": [TOOL]},
    "tools without a call": {"messages": [U, A], "tools": [TOOL, TOOL]},
    "no tools in the list": {"messages": [U, A], "tools": []},
    "thought": {"messages": [U, {"role": "assistant", "reasoning_content": "12 is\n  cold.", "content": "Rain."}]},
    "thought by another name": {"messages": [U, {"role": "assistant", "content": "Rain.", "thinking": "Cold."}]},
    "thought by a third name": {"messages": [U, {"role": "assistant", "reasoning": "Cold.", "content": "Rain."}]},
    "thoughts in two turns": {"messages": [U, {"role": "assistant", "content": "Rain.", "reasoning_content": "Cold."}, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes.", "reasoning_content": "I am."}]},
    "documents": {"messages": [U, A], "documents": [{"title": "Köln", "text": "It rains."}, {"title": "b", "text": "c"}]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]}, A]},
    "one part": {"messages": [{"role": "user", "content": [{"type": "text", "text": "One."}]}, {"role": "assistant", "content": [{"type": "text", "text": "Two."}]}]},
    "names and other keys": {"messages": [{"content": "Hello", "role": "user", "name": "Ada", "mood": {"is": ["good", 1]}}, {"role": "assistant", "content": "Hi", "weight": 1, "train": True}]},
    "variables": {"messages": [U, A], "chat_template_kwargs": {"enable_thinking": False, "date_string": "1 May 2026"}},
    "a tool in a role of its own": {"messages": [U, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "ipython", "content": "12"}, A], "tools": [TOOL]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, U, A]},
}

CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- '# Tools\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' }}{{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- if documents %}{% for d in documents %}{{ '<doc>' + d.title + ': ' + d.text + '</doc>' }}{% endfor %}{%- endif %}
{%- set ns = namespace(last=messages | length - 1) %}
{%- for m in messages[::-1] %}
    {%- if m.role == 'user' and m.content is string and not m.content.startswith('<tool_response>') and ns.last == messages | length - 1 %}{%- set ns.last = messages | length - 1 - loop.index0 %}{%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) or m.role == 'developer' %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
    {%- elif m.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if m.reasoning_content is string and loop.index0 > ns.last %}{{- '<think>\\n' + m.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}
        {%- if m.content %}{{- m.content }}{%- endif %}
        {%- if m.tool_calls %}
            {%- for call in m.tool_calls %}
                {%- if (loop.first and m.content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if call.function %}{%- set call = call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
                {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif m.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}
"""
HEADERS = """{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = 'today' %}{%- endif %}
{{- '[system]' + date_string + ';' }}
{%- if tools is not none %}{{- 'Environment: ipython' }}{% for t in tools %}{{- t | tojson(indent=4) }}{% endfor %}{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '[' + message['role'] + ']' + message['content'] | trim + '<eot>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}{{- raise_exception('This model only supports single tool-calls at once!') }}{%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '[assistant]{"name": "' + call.name + '", "parameters": ' }}{{- call.arguments | tojson }}{{- '}<eot>' }}
    {%- else %}
        {{- '[ipython]' }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- '<eot>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}
"""
NUMBERS = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'tool' -%}
{%- set n = m.content | int %}{%- set f = m.content | float %}
{%- if n | string == m.content %}{%- set c = n %}{%- elif f | string == m.content %}{%- set c = f %}{%- else %}{%- set c = m.content %}{%- endif -%}
[RESULT]{{ {'content': c, 'call_id': m['tool_call_id']} | tojson }}[/RESULT]
{%- elif m['tool_calls'] is defined and m['tool_calls'] is not none and m['tool_calls'] | length > 0 -%}
[CALLS]{% for c in m['tool_calls'] %}{{ c['function']['name'] }}({% for k, v in c['function']['arguments'].items() if c['function']['arguments'] is mapping %}{{ k }}={{ v }},{% endfor %})#{{ c['id'] | length }}{% endfor %}{{ eos_token }}
{%- else -%}
[{{ m.role | upper }}]{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}
{%- endif -%}
{% endfor %}{{ tools is none }}{{ tools | length if tools else 0 }}{{ documents is none }}"""
PARTS = """{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% elif m.content is not none %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}|{% endif %}{% endfor %}{% endif %}{% if m.thinking %}<t>{{ m.thinking }}</t>{% endif %}{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}{% endfor %}"""
SAFE = """{% for m in messages %}{% set c = m.content | tojson | safe %}{{ '{"role": "' + m.role + '", "content": ' + c + '}' }}{{ c }}{{ m.role | safe }}{{ '"' + m.role + '"' }}
{% endfor %}"""
WHOLE = """{% for m in messages %}{{ m | tojson }}
{% for key, value in m.items() %}{{ key }}={{ value if key != 'tool_calls' else value | length }};{% endfor %}{% endfor %}{{ tools | tojson }}{{ documents | tojson }}"""
TEMPLATES = {"as ChatML": CHATML, "as Llama": HEADERS, "as Mistral": NUMBERS, "with parts": PARTS, "joined to a safe text": SAFE, "all of it": WHOLE}


def main(file):
    cases = []
    for name, template in TEMPLATES.items():
        for row, given in ROWS.items():
            for opening in [False, True]:
                variables = {"bos_token": "<s>", "eos_token": "</s>", **given.get("chat_template_kwargs", {})}
                case = {"template": name, "row": row, "opening": opening}
                try:
                    texts, _ = render_jinja_template([given["messages"]], chat_template=template, add_generation_prompt=opening, tools=given.get("tools"), documents=given.get("documents"), **variables)
                    case["text"] = texts[0]
                except Exception as error:
                    case["error"] = str(error)
                cases.append(case)
    whole = {"templates": TEMPLATES, "rows": ROWS}
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in whole.items())
    file.write_text(f'{{{head},\n"cases": [\n{lines}\n]}}\n')
    for case in cases:
        print(case["template"], "|", case["row"], "|", case["opening"], "|", repr(case.get("text", "! " + case.get("error", ""))))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "conversations.json")
