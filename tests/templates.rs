//! Chat templates and completion masks against transformers.
//!
//! The renderings are made by `tests/reference/make_templates.py`. Real tokenizers are not part of the project: where they are absent a test
//! says that it was skipped.

use crate::support::{python_with, reference_json, run_python, shared};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use unforget::chat::{Conversation, Message, Role};
use unforget::dataset::Example;
use unforget::tokens::{
    ChatTemplate, DateTime, Sequence, TemplateOptions, Tokenizer, prompt, sequence,
};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/model");

/// The tokenizer in `from`, with `template` in the place of its own, in a folder of its own.
fn with_template(from: &Path, template: &str) -> (tempfile::TempDir, Tokenizer) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        if from.join(file).exists() {
            std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
        }
    }
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    (folder, tokenizer)
}

/// Messages written as `[role, content]`.
fn messages(value: &Value) -> Vec<Message> {
    let message = |pair: &Value| {
        let role = Role::parse(pair[0].as_str().unwrap()).unwrap();
        Message::new(role, pair[1].as_str().unwrap())
    };
    value.as_array().unwrap().iter().map(message).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn example(messages: Vec<Message>) -> Example {
    Example::new("e", Conversation::new(messages))
}

/// The tokens that transformers takes for the assistant's, and the token that ends each turn if the template's block leaves it out.
fn expected_mask(sequence: &Sequence, mask: &[u32]) -> Vec<bool> {
    let mut learned: Vec<bool> = mask.iter().map(|one| *one == 1).collect();
    for at in 1..learned.len() {
        let end = Some(sequence.ids[at]) == sequence.end_of_turn;
        learned[at] |= end && learned[at - 1];
    }
    learned
}

#[test]
fn templates_render_and_mark_as_in_transformers() {
    let table = reference_json("templates.json");
    let seconds = DateTime::utc(table["seconds"].as_i64().unwrap());
    let (mut rendered, mut refused, mut marked) = (0, 0, 0);
    for case in table["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (_folder, tokenizer) =
            with_template(Path::new(LAB), case["template"].as_str().unwrap());
        let options = TemplateOptions { date: Some(seconds), ..TemplateOptions::default() };
        let tokenizer = tokenizer.with_options(&options).unwrap();
        let messages = messages(&case["messages"]);
        let template = tokenizer.template().unwrap();
        let got = template.render(&messages, case["opening"].as_bool().unwrap());
        if let Some(error) = case["error"].as_str() {
            let message = got.unwrap_err().to_string();
            assert!(message.ends_with(error), "{name}: {message}");
            refused += 1;
            continue;
        }
        assert_eq!(got.unwrap(), case["text"].as_str().unwrap(), "{name}");
        rendered += 1;
        if case["mask"].is_array() {
            let sequence = sequence(&tokenizer, &example(messages)).unwrap();
            assert_eq!(sequence.ids, ids(&case["ids"]), "{name}");
            let expected = expected_mask(&sequence, &ids(&case["mask"]));
            assert_eq!(sequence.completion.as_slice(), expected, "{name}");
            marked += 1;
        }
    }
    assert!(rendered >= 50 && refused == 2 && marked >= 20, "{rendered} {refused} {marked}");
}

#[test]
fn a_block_that_opens_the_turn_is_refused() {
    let template = |body: &str| {
        format!(
            "{{{{ bos_token }}}}{{% for m in messages %}}{{% if m.role == 'user' %}}<|user|>{{{{ m.content }}}}<|end|>{{% else %}}{body}{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}<|assistant|>{{% endif %}}"
        )
    };
    let check = |body: &str, words: &str| {
        let (_folder, tokenizer) = with_template(Path::new(LAB), &template(body));
        let message = sequence(&tokenizer, &Example::pair("e", "a", "b")).unwrap_err();
        assert!(message.to_string().contains(words), "{message}");
    };
    check(
        "{% generation %}<|assistant|>{{ m.content }}<|end|>{% endgeneration %}",
        "begins before the answer, at \"<|assistant|>\"",
    );
    check(
        "<|assistant|>{{ m.content }}<|end|>{% generation %}x{% endgeneration %}",
        "leaves out token 5, \"b\", though it is part of an answer",
    );
}

#[test]
fn of_several_templates_one_is_chosen_by_name() {
    let (folder, _) = with_template(Path::new(LAB), "default {{ messages[0].content }}");
    let path = folder.path();
    let render = |tokenizer: &Tokenizer| {
        let template = tokenizer.template().unwrap();
        template.render(&[Message::user("q")], false).unwrap()
    };
    let more = path.join("additional_chat_templates");
    std::fs::create_dir(&more).unwrap();
    std::fs::write(more.join("rag.jinja"), "rag {{ messages[0].content }}").unwrap();
    std::fs::write(more.join("notes.txt"), "{{").unwrap();
    let standard = Tokenizer::open(path).unwrap();
    let rag = Tokenizer::open_with_template(path, "rag").unwrap();
    assert_eq!(render(&standard), "default q");
    assert_eq!(render(&rag), "rag q");
    assert_ne!(standard.fingerprint(), rag.fingerprint());
    let unknown = Tokenizer::open_with_template(path, "tool_use").unwrap_err();
    let words = "no chat template called `tool_use`; it has: default, rag";
    assert!(unknown.to_string().contains(words), "{unknown}");

    // without a default, and from the config
    std::fs::remove_file(path.join("chat_template.jinja")).unwrap();
    let message = Tokenizer::open(path).unwrap_err().to_string();
    assert!(message.contains("(rag) and none called `default`"), "{message}");
    std::fs::remove_dir_all(&more).unwrap();
    let config = path.join("tokenizer_config.json");
    let mut fields: Value =
        serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    let list =
        json!([{"name": "default", "template": "one"}, {"name": "tool_use", "template": "two"}]);
    let object = json!({"default": "one", "tool_use": "two"});
    for several in [list, object] {
        fields["chat_template"] = several;
        std::fs::write(&config, fields.to_string()).unwrap();
        assert_eq!(render(&Tokenizer::open(path).unwrap()), "one");
        let tools = Tokenizer::open_with_template(path, "tool_use").unwrap();
        assert_eq!(render(&tools), "two");
    }
    fields["chat_template"] = json!([{"name": "default"}]);
    std::fs::write(&config, fields.to_string()).unwrap();
    let message = Tokenizer::open(path).unwrap_err().to_string();
    assert!(message.contains("each with its `name`"), "{message}");
}

/// The folders of real tokenizers.
fn real() -> Vec<(String, PathBuf)> {
    let Some(folder) = shared("real/tokenizers", "every real tokenizer") else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    found.sort();
    found
}

#[test]
fn every_real_tokenizer_renders_or_says_why_not() {
    let mut outcomes = Vec::new();
    for (name, folder) in real() {
        let long = "def f(x):\n    return x + 1  # «π» 🙂\n".repeat(300);
        let outcome = Tokenizer::open(&folder).and_then(|tokenizer| {
            let short = sequence(&tokenizer, &Example::pair("e", "q", "a"))?;
            assert!(short.len() < 60, "{name}: {} tokens for two letters", short.len());
            let sequence = sequence(&tokenizer, &Example::pair("e", &long, &long))?;
            // nothing is cut off, filled up or lost
            let spans = sequence.spans.iter();
            assert_eq!(spans.map(|span| span.end).max(), Some(sequence.text.len()), "{name}");
            assert_eq!(sequence.text.matches("def f(x)").count(), 600, "{name}");
            assert_eq!(sequence.completion_text().trim(), long.trim(), "{name}");
            assert!(sequence.len() > 6000, "{name}");
            let last = sequence.completion.positions().last();
            let last = last.map(|at| sequence.ids[at]);
            assert_eq!(last, sequence.end_of_turn, "{name}: the end is learned");
            assert!(last.is_some(), "{name}");
            let question = prompt(&tokenizer, &[Message::user(&long)])?;
            assert_eq!(question.ids, sequence.ids[..question.ids.len()], "{name}");
            Ok(sequence.form)
        });
        let outcome = match outcome {
            Ok(form) => format!("{form:?}"),
            Err(error) => error.to_string().rsplit('/').next().unwrap().to_string(),
        };
        println!("{name}: {outcome}");
        outcomes.push((name, outcome));
    }
    for (name, outcome) in outcomes {
        let expected = match name.as_str() {
            // neither has a template
            "gpt2" | "smollm2-asfound" => "Plain",
            "gemma2-no-vocab" => "tokenizer.json: no tokenizer here",
            "llama2" => "tokenizer_config.json: has neither a chat_template nor an eos_token",
            _ => "Chat",
        };
        assert!(outcome.starts_with(expected), "{name}: {outcome}");
    }
}

/// Templates with `generation` blocks in the styles of the models' own, for the tokenizers whose tokens they use.
const TRAINING: [(&[&str], &str); 5] = [
    (
        &["llama3"],
        "{{- bos_token }}{%- for m in messages %}{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}{%- if m.role == 'assistant' %}{% generation %}{{- m.content | trim + '<|eot_id|>' }}{% endgeneration %}{%- else %}{{- m.content | trim + '<|eot_id|>' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}",
    ),
    (
        &["qwen2.5", "smollm2", "smollm2-asfound", "minimind"],
        "{%- for m in messages %}\n{{- '<|im_start|>' + m.role + '\\n' }}\n{%- if m.role == 'assistant' %}\n{%- generation %}{{- m.content + '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}{%- else %}{{- m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
    ),
    (
        &["mistral-v0.3"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}{% else %}{% generation %}{{ ' ' + m.content + eos_token }}{% endgeneration %}{% endif %}{% endfor %}",
    ),
    (
        &["gemma2-standin"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}<start_of_turn>model\n{% generation %}{{ m.content | trim }}<end_of_turn>\n{% endgeneration %}{% else %}<start_of_turn>user\n{{ m.content | trim }}<end_of_turn>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
    (
        &["olmo2"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>\\n' }}{% generation %}{{ m.content + eos_token }}{% endgeneration %}{{ '\\n' }}{% else %}{{ '<|user|>\\n' + m.content + '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    ),
];

const MASKS_OF_TRANSFORMERS: &str = "
import sys, json
from transformers import PreTrainedTokenizerFast
for folder, template, messages in json.load(sys.stdin):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    messages = [{'role': role, 'content': content} for role, content in messages]
    out = tokenizer.apply_chat_template(messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True, padding=False, truncation=False)
    print(json.dumps({'ids': out['input_ids'], 'mask': out['assistant_masks']}))
";

#[test]
fn the_completion_is_what_transformers_takes_for_the_assistants_tokens() {
    let Some(python) = python_with("transformers") else {
        return;
    };
    let long = "for i in range(10):\n    print(i)\n".repeat(200);
    let conversations = [
        json!([
            ["user", "Square x; answer\nin Python."],
            ["assistant", "```python\ndef f(x):\n    return x ** 2\n```\nDone, 12 «π» 🙂."]
        ]),
        json!([
            ["user", "First?"],
            ["assistant", "One."],
            ["user", "Second?"],
            ["assistant", "Two\n\nlines"]
        ]),
        json!([["user", &long], ["assistant", &long]]),
    ];
    let real = real();
    let mut cases = Vec::new();
    for (names, template) in TRAINING {
        for name in names {
            let Some((_, folder)) = real.iter().find(|(known, _)| known == name) else {
                continue;
            };
            for conversation in &conversations {
                cases.push((name, folder, template, conversation));
            }
        }
    }
    if cases.is_empty() {
        return;
    }
    let asked: Vec<Value> = cases
        .iter()
        .map(|(_, folder, template, conversation)| json!([folder, template, conversation]))
        .collect();
    let lines = run_python(&python, MASKS_OF_TRANSFORMERS, &json!(asked), &[]);
    assert_eq!(lines.len(), cases.len());
    for ((name, folder, template, conversation), theirs) in cases.iter().zip(&lines) {
        let (_folder, tokenizer) = with_template(folder, template);
        let sequence = sequence(&tokenizer, &example(messages(conversation))).unwrap();
        assert_eq!(sequence.ids, ids(&theirs["ids"]), "{name}");
        let mask = expected_mask(&sequence, &ids(&theirs["mask"]));
        assert_eq!(sequence.completion.as_slice(), mask, "{name}");
    }
    // the same marks as without blocks, by the offsets alone
    let (_, folder, template, conversation) = &cases[0];
    let plain = template.replace("{% generation %}", "").replace("{% endgeneration %}", "");
    let of = |template: &str| {
        let (_folder, tokenizer) = with_template(folder, template);
        sequence(&tokenizer, &example(messages(conversation))).unwrap()
    };
    assert_eq!(of(&plain), of(template));
}

const TEMPLATES_OF_TRL: &str = "
import datetime, glob, importlib.util, json, os, sys
from transformers.utils import chat_template_utils
asked = json.load(sys.stdin)
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(asked['seconds'], datetime.timezone.utc)
chat_template_utils.datetime = Clock
folder = os.path.join(os.path.dirname(importlib.util.find_spec('trl').origin), 'chat_templates')
for path in sorted(glob.glob(folder + '/*.jinja')):
    source = open(path).read()
    for pairs in asked['conversations']:
        messages = [{'role': role, 'content': content} for role, content in pairs]
        for opening in [False, True]:
            row = {'name': os.path.basename(path), 'source': source, 'messages': pairs, 'opening': opening}
            try:
                texts, blocks = chat_template_utils.render_jinja_template([messages], chat_template=source, add_generation_prompt=opening,
                    return_assistant_tokens_mask=True, bos_token='<bos>', eos_token='<eos>')
                row.update(text=texts[0], blocks=blocks[0])
            except Exception as error:
                row['error'] = str(error)
            print(json.dumps(row))
";

/// TRL ships the chat templates of many models, and patched ones with `generation` blocks.
#[test]
fn templates_that_trl_ships_render_and_mark_as_in_transformers() {
    let Some(python) = python_with("trl, transformers") else {
        return;
    };
    const SECONDS: u64 = 1_709_210_096;
    let asked = json!({"seconds": SECONDS, "conversations": [
        [["user", " What is 2 + 3? "], ["assistant", "It is 5.\n\n«é» 🙂 "]],
        [["system", "Be brief."], ["user", "x = \"<4>\""], ["assistant", "<think>\nwhy\n</think>\n\nfirst"], ["user", "y"], ["assistant", "<think>\n\n</think>\n\nsecond"]],
        [["user", "only a question"]],
        [["assistant", "first"], ["user", "then"]],
    ]});
    let special: std::collections::BTreeMap<String, String> = [
        ("bos_token".to_string(), "<bos>".to_string()),
        ("eos_token".to_string(), "<eos>".to_string()),
    ]
    .into();
    let (mut rendered, mut refused, mut marked, mut wrong) = (0, 0, 0, Vec::new());
    for row in run_python(&python, TEMPLATES_OF_TRL, &asked, &[]) {
        let name = row["name"].as_str().unwrap();
        let source = row["source"].as_str().unwrap();
        let template = match ChatTemplate::new(source, Path::new(name), special.clone()) {
            Ok(template) => template.with_options(&TemplateOptions {
                date: Some(DateTime::utc(SECONDS as i64)),
                ..TemplateOptions::default()
            }),
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let messages = messages(&row["messages"]);
        let opening = row["opening"].as_bool().unwrap();
        let got = template.render(&messages, opening);
        match (row["text"].as_str(), got) {
            (Some(text), Ok(got)) if got == text => rendered += 1,
            (None, Err(_)) => refused += 1,
            (text, got) => wrong.push(format!("{name}: {got:?}, not {text:?} {}", row["error"])),
        }
        let blocks = row["blocks"].as_array();
        if let Some(blocks) = blocks.filter(|blocks| !opening && !blocks.is_empty()) {
            let text: Vec<char> = row["text"].as_str().unwrap().chars().collect();
            let theirs: Vec<String> = blocks
                .iter()
                .map(|block| {
                    let at = |end: usize| block[end].as_u64().unwrap() as usize;
                    text[at(0)..at(1)].iter().collect()
                })
                .collect();
            let Ok(got) = template.render_marked(&messages, &serde_json::Map::new()) else {
                continue;
            };
            let ours: Vec<&str> =
                got.generation.iter().map(|block| &got.text[block.clone()]).collect();
            if ours != theirs {
                wrong.push(format!("{name}: marks {ours:?}, not {theirs:?}"));
            }
            marked += 1;
        }
    }
    println!("{rendered} rendered alike, {refused} refused by both, {marked} with marks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rendered > 300 && marked > 50);
}
