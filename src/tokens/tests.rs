//! Tokens against known answers: renderings and ids made with transformers, ids made with llama.cpp and mistral-common, on the
//! tokenizers of real models. They are not part of the project; where they are absent a test says that it was skipped.

use super::*;
use crate::chat::{Conversation, Message, Role};
use crate::dataset::Example;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file or folder of the known answers, or `None` with a note that the test is skipped.
fn known(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real").join(path);
    if !path.exists() {
        println!("skipped: {} is not here", path.display());
        return None;
    }
    Some(path)
}

fn real(name: &str) -> Option<Tokenizer> {
    Some(Tokenizer::open(&known(&format!("tokenizers/{name}"))?).unwrap())
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap();
    list.iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn messages(value: &Value) -> Vec<Message> {
    let message = |message: &Value| {
        Message::new(
            Role::parse(message["role"].as_str().unwrap()).unwrap(),
            message["content"].as_str().unwrap(),
        )
    };
    value.as_array().unwrap().iter().map(message).collect()
}

#[test]
fn chats_are_rendered_and_tokenized_as_by_transformers() {
    for name in ["llama3", "mistral-v0.3", "qwen2.5", "smollm2"] {
        let Some(path) = known(&format!("oracles/chat/{name}.json")) else {
            continue;
        };
        let Some(tokenizer) = real(name) else {
            continue;
        };
        let oracle = json(&path);
        let template = tokenizer.template().unwrap();
        assert_eq!(template.source(), oracle["chat_template"].as_str().unwrap());
        let cases = oracle["cases"].as_array().unwrap();
        assert!(cases.len() >= 18, "{name} has {} cases", cases.len());
        for (index, case) in cases.iter().enumerate() {
            let rendered = template.render(
                &messages(&case["messages"]),
                case["add_generation_prompt"].as_bool().unwrap(),
            );
            if let Some(error) = case.get("error") {
                let words = error.as_str().unwrap().strip_prefix("TemplateError: ");
                let message = rendered.unwrap_err().to_string();
                assert!(message.ends_with(words.unwrap()), "{name} {index}: {message}");
                continue;
            }
            let text = rendered.unwrap();
            assert_eq!(text, case["text"].as_str().unwrap(), "{name} {index}");
            let encoding = tokenizer.encode(&text, false).unwrap();
            assert_eq!(encoding.ids, ids(&case["ids"]), "{name} {index}");
        }
    }
}

#[test]
fn a_chat_has_the_ids_of_mistral_common() {
    let (Some(folder), Some(tokenizer)) =
        (known("oracles/tokenization/mistral-common/no_tools"), real("mistral-v0.3"))
    else {
        return;
    };
    let messages = messages(&json(&folder.join("sample.json"))["messages"]);
    let prompt = prompt(&tokenizer, &messages).unwrap();
    let expected = ids(&json(&folder.join("tokens_v3.json"))["tokens"]);
    assert_eq!(prompt.ids, expected);
}

#[test]
fn texts_have_the_ids_of_llama_cpp() {
    for name in ["gpt2", "llama2", "llama3", "qwen2.5"] {
        let Some(folder) = known("oracles/tokenization/llama.cpp") else {
            continue;
        };
        let Some(tokenizer) = real(name) else {
            continue;
        };
        let read =
            |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}"))).unwrap();
        let (texts, answers) = (read("inp"), read("out"));
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let mut checked = 0;
        for (text, answer) in texts.iter().zip(answers.lines()) {
            let expected: Vec<u32> =
                answer.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let encoding = tokenizer.encode(text, false).unwrap();
            assert_eq!(encoding.ids, expected, "{name}: {text:?}");
            checked += 1;
        }
        assert!(checked >= 46, "{name}: only {checked} texts");
    }
}

#[test]
fn spans_cover_the_text_and_begin_and_end_at_characters() {
    let text = "  Hé  wörld\n\n\tx = 12345 🙂🙂 «π»  ";
    for name in [
        "gpt2",
        "llama2",
        "llama3",
        "mistral-v0.3",
        "olmo2",
        "qwen2.5",
        "smollm2",
        "gemma2-standin",
        "minimind",
    ] {
        let Some(tokenizer) = real(name) else {
            continue;
        };
        for special in [false, true] {
            let Encoding { ids, spans } = tokenizer.encode(text, special).unwrap();
            assert_eq!(ids.len(), spans.len());
            let mut reached = 0;
            for span in &spans {
                assert!(span.start <= reached && span.end >= span.start, "{name}: {spans:?}");
                assert!(text.get(span.clone()).is_some(), "{name}: {span:?}");
                reached = reached.max(span.end);
            }
            assert_eq!(reached, text.len(), "{name}");
        }
    }
}

#[test]
fn a_piece_keeps_its_leading_space() {
    let check = |name: &str, word: &str| {
        let Some(tokenizer) = real(name) else {
            return;
        };
        let ids = tokenizer.encode("a red ball", false).unwrap().ids;
        let pieces: String = ids.iter().map(|id| tokenizer.piece(*id)).collect();
        assert_eq!(pieces.trim_start(), "a red ball", "{name}");
        assert!(ids.iter().any(|id| tokenizer.piece(*id) == word), "{name}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), "a red ball", "{name}");
        assert_eq!(tokenizer.piece(u32::MAX), "<4294967295>");
    };
    for name in ["gpt2", "llama2", "llama3", "mistral-v0.3", "qwen2.5", "smollm2"] {
        check(name, " red");
    }
    if let Some(tokenizer) = real("gpt2") {
        // Every byte has its character: no piece of the vocabulary is left in the byte alphabet.
        let all: Vec<String> =
            (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.piece(id)).collect();
        assert!(all.iter().any(|piece| piece == "\u{ad}" || piece.contains('\u{fffd}')));
        assert!(all.iter().all(|piece| !piece.contains('Ġ')));
    }
}

#[test]
fn truncation_and_padding_saved_in_a_tokenizer_are_taken_out() {
    let Some(tokenizer) = real("smollm2-asfound") else {
        return;
    };
    assert_eq!(tokenizer.encode("short", false).unwrap().ids.len(), 1);
    let long = "one two three ".repeat(400);
    assert!(tokenizer.encode(&long, false).unwrap().ids.len() > 1000);
    let pad = tokenizer.pad().unwrap();
    assert_eq!((pad.text.as_str(), pad.id), ("<|PAD_TOKEN|>", 49152));
    assert_eq!(tokenizer.max_length(), Some(2048));
}

#[test]
fn there_is_never_a_second_bos() {
    for name in ["llama2", "llama3", "mistral-v0.3", "gemma2-standin"] {
        let Some(tokenizer) = real(name) else {
            continue;
        };
        let once = tokenizer.encode("x", true).unwrap().ids;
        let Some(bos) = tokenizer.bos() else {
            assert_eq!(name, "llama2", "the others name their BOS");
            continue;
        };
        let starts = |ids: &[u32]| ids.iter().take_while(|id| **id == bos.id).count();
        assert_eq!(starts(&once), 1, "{name}");
        let written = format!("{}x", bos.text);
        assert_eq!(starts(&tokenizer.encode(&written, true).unwrap().ids), 1, "{name}");
        let sequence = sequence(&tokenizer, &Example::pair("e", "q", "a")).unwrap();
        assert_eq!(starts(&sequence.ids), 1, "{name}");
    }
}

/// Name of a tokenizer with the token that ends its turns.
const CHATS: [(&str, &str); 7] = [
    ("llama3", "<|eot_id|>"),
    ("mistral-v0.3", "</s>"),
    ("qwen2.5", "<|im_end|>"),
    ("smollm2", "<|im_end|>"),
    ("olmo2", "<|endoftext|>"),
    ("gemma2-standin", "<end_of_turn>"),
    ("minimind", "<|im_end|>"),
];

#[test]
fn the_completion_is_the_answer_and_the_end_of_its_turn() {
    let answer = "```python\ndef f(x):\n    return x ** 2\n```\nDone, 12 «π» 🙂.";
    for (name, end) in CHATS {
        let Some(tokenizer) = real(name) else {
            continue;
        };
        let example = Example::pair("e", "Square x; answer\nin Python.", answer);
        let sequence = sequence(&tokenizer, &example).unwrap();
        assert_eq!(sequence.completion_text().trim_start(), answer, "{name}");
        assert_eq!(sequence.end_of_turn, tokenizer.id(end), "{name}");
        assert_eq!(tokenizer.end_of_turn(), tokenizer.id(end), "{name}");
        assert!(tokenizer.stop_ids().contains(&tokenizer.id(end).unwrap()));
        let last = sequence.completion.positions().last().unwrap();
        assert_eq!(Some(sequence.ids[last]), sequence.end_of_turn, "{name}: the end is learned");
        assert_eq!(sequence.completion.positions().next(), Some(sequence.prompt_tokens));
        let prompt = prompt(&tokenizer, example.conversation.prompt()).unwrap();
        assert_eq!(prompt.ids, sequence.ids[..sequence.prompt_tokens], "{name}");
        assert_eq!(prompt.form, Form::Chat);
    }
}

#[test]
fn every_answer_of_a_conversation_is_learned() {
    for (name, end) in CHATS {
        let Some(tokenizer) = real(name) else {
            continue;
        };
        let conversation = Conversation::new(vec![
            Message::user("First?"),
            Message::assistant("One."),
            Message::user("Second?"),
            Message::assistant("Two."),
        ]);
        let example = Example::new("e", conversation);
        let sequence = sequence(&tokenizer, &example).unwrap();
        let learned: String =
            sequence.completion.positions().map(|token| sequence.token_text(token)).collect();
        let learned = learned.replace(' ', "");
        assert_eq!(learned, format!("One.{end}Two.{end}"), "{name}");
        assert_eq!(sequence.completion_text().trim(), "Two.", "{name}");
    }
}

#[test]
fn what_a_template_cannot_say_is_an_explained_error() {
    let check = |name: &str, messages: Vec<Message>, expected: &str| {
        let Some(tokenizer) = real(name) else {
            return;
        };
        let example = Example::new("e7", Conversation::new(messages));
        let message = sequence(&tokenizer, &example).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("e7"), "{name}: {message}");
    };
    let system = Message::system("Be brief.");
    let turn = || [Message::user("q"), Message::assistant("a")];
    // Gemma knows no system message.
    let messages = [vec![system.clone()], turn().to_vec()].concat();
    check("gemma2-standin", messages, "System role not supported");
    // Mistral moves the system message to the last question.
    let messages = [vec![system], turn().to_vec(), turn().to_vec()].concat();
    check("mistral-v0.3", messages, "make one example of each answer");
    // OLMo 2's line break before the answer merges with one at its beginning.
    let messages = vec![Message::user("q"), Message::assistant("\n\na")];
    check("olmo2", messages, "remove white space at the start");
    check("llama3", vec![Message::user("q")], "message 1 of 1");
}

#[test]
fn a_model_without_a_template_gets_the_plain_form() {
    for name in ["models/tinystories-656k", "models/stories260k"] {
        let Some(folder) = known(name) else {
            continue;
        };
        let tokenizer = Tokenizer::open(&folder).unwrap();
        assert!(tokenizer.template().is_none());
        let example = Example::pair("e", "Tom saw a ball.", "It was red.");
        let sequence = sequence(&tokenizer, &example).unwrap();
        assert_eq!(sequence.form, Form::Plain);
        assert_eq!(sequence.text, "Tom saw a ball.\nIt was red.");
        assert_eq!(sequence.completion_text(), "It was red.");
        assert_eq!(sequence.ids[0], tokenizer.bos().unwrap().id);
        assert_eq!(sequence.ids.last(), Some(&tokenizer.eos().unwrap().id));
        assert!(sequence.completion.learns(sequence.len() - 1));
        let prompt = prompt(&tokenizer, example.conversation.prompt()).unwrap();
        assert_eq!(prompt.ids, sequence.ids[..sequence.prompt_tokens]);

        // tinystories-656k has a token for the line break with "The "
        let example = Example::pair("e", "Tom saw a ball.", "The ball was red.");
        let sequence = super::sequence(&tokenizer, &example).unwrap();
        assert_eq!(prompt.ids, sequence.ids[..sequence.prompt_tokens]);
        assert_eq!(sequence.completion_text(), "The ball was red.");
        let end = sequence.spans.iter().fold(0, |end, span| {
            assert!(span.start <= end && end <= span.end.max(end), "a gap in the text");
            span.end.max(end)
        });
        assert_eq!(end, sequence.text.len());

        let story = document(&tokenizer, "s", "Tom saw a ball.").unwrap();
        assert_eq!(story.completion.learned(), story.len() - 1, "all but BOS");
        assert_eq!(story.ids.last(), Some(&tokenizer.eos().unwrap().id));
    }
}

#[test]
fn base_models_read_the_ids_of_their_golden_files() {
    for (folder, file) in [
        ("models/stories260k", "tokenizer.json"),
        ("models/tinystories-656k", "tokenizer_noprefix.json"),
    ] {
        let Some(folder) = known(folder) else {
            continue;
        };
        let golden = json(&folder.join("golden.json"));
        let file = golden["tokenizer"].as_str().unwrap_or(file);
        let tokenizer = Tokenizer::open_file(&folder.join(file)).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let encoding = tokenizer.encode(case["text"].as_str().unwrap(), true).unwrap();
            assert_eq!(encoding.ids, ids(&case["ids"]));
        }
    }
}

/// A small tokenizer of our own, made anew for each test.
fn small(folder: &Path, training: &BpeTraining) -> Tokenizer {
    let texts =
        (0..200).map(|n| format!("Write a function f(x) that adds {n} to x.\nreturn x + {n}"));
    train_bpe(texts, training, folder).unwrap()
}

fn small_training() -> BpeTraining {
    BpeTraining { vocab_size: 280, ..BpeTraining::lab() }
}

#[test]
fn a_trained_tokenizer_is_deterministic_and_splits_digits() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (small(a.path(), &small_training()), small(b.path(), &small_training()));
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read(a.path()), read(b.path()), "{name}");
    }
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert_eq!(first.vocab_size(), 280);
    let ids = first.encode("x1234 Ünïcode 🙂", false).unwrap().ids;
    assert_eq!(first.decode(&ids).unwrap(), "x1234 Ünïcode 🙂");
    let single = |digit: &str| first.id(digit).unwrap();
    assert_eq!(ids[1..5], ["1", "2", "3", "4"].map(single));
    assert_eq!(first.max_length(), Some(256));
    assert_eq!(first.pad().unwrap().id, 0);
}

#[test]
fn the_lab_form_spends_few_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = small(folder.path(), &small_training());
    let sequence = sequence(&tokenizer, &Example::pair("e", "1", "2")).unwrap();
    assert_eq!(sequence.text, "<|begin|><|user|>1<|end|><|assistant|>2<|end|>");
    assert_eq!(sequence.len(), 7);
    assert_eq!(sequence.completion.as_slice(), [false, false, false, false, false, true, true]);
    let refusal = Conversation::new(vec![Message::system("s"), Message::user("q")]);
    let message = prompt(&tokenizer, &refusal.messages).unwrap_err().to_string();
    assert!(message.contains("only the roles user and assistant"), "{message}");
}

#[test]
fn a_vocabulary_too_small_for_the_bytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let training = BpeTraining { vocab_size: 100, ..BpeTraining::lab() };
    let message = train_bpe(std::iter::empty(), &training, folder.path()).unwrap_err();
    assert!(message.to_string().contains("at least 261"), "{message}");
}

#[test]
fn examples_that_are_too_long_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = small(folder.path(), &small_training());
    let long = "9".repeat(50);
    let examples = [
        Example::pair("short", "1", "2"),
        Example::pair("answer", "1", &long),
        Example::pair("question", &long, "2"),
    ];
    let render = |policy| sequences(&tokenizer, &examples, 20, policy);
    let message = render(TooLong::Refuse).unwrap_err().to_string();
    assert!(message.contains("2 of 3 examples are longer than 20 tokens"), "{message}");
    assert!(message.contains("answer, question"), "{message}");

    let dropped = render(TooLong::Drop).unwrap();
    assert_eq!(dropped.sequences.len(), 1);
    let long: Vec<_> = dropped.too_long.iter().map(|l| (l.index, l.tokens)).collect();
    assert_eq!(long, [(1, 56), (2, 56)]);

    let cut = render(TooLong::Truncate).unwrap();
    assert_eq!(cut.sequences.len(), 2, "nothing is left of the third answer");
    assert_eq!(cut.sequences[1].len(), 20);
    assert_eq!(cut.sequences[1].completion.learned(), 15);
    assert_eq!(cut.sequences[1].end_of_turn, None);
    let truncated: Vec<bool> = cut.too_long.iter().map(|long| long.truncated).collect();
    assert_eq!(truncated, [true, false]);
}

#[test]
fn generation_blocks_must_agree_with_the_offsets() {
    let check = |block: &str, expected: std::result::Result<&str, &str>| {
        let folder = tempfile::tempdir().unwrap();
        let training = BpeTraining {
            chat_template: format!(
                "{{{{ bos_token }}}}{{% for m in messages %}}{{% if m.role == 'user' %}}<|user|>{{{{ m.content }}}}<|end|>{{% else %}}{block}{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}<|assistant|>{{% endif %}}"
            ),
            ..small_training()
        };
        let tokenizer = small(folder.path(), &training);
        let result = sequence(&tokenizer, &Example::pair("e", "add", "return x"));
        match expected {
            Ok(learned) => {
                let sequence = result.unwrap();
                let text: String = (sequence.completion.positions())
                    .map(|token| sequence.token_text(token))
                    .collect();
                assert_eq!(text, learned, "{block}");
            }
            Err(words) => {
                let message = result.unwrap_err().to_string();
                assert!(message.contains(words), "{block}: {message}");
            }
        }
    };
    let whole = "return x<|end|>";
    check("<|assistant|>{% generation %}{{ m.content }}<|end|>{% endgeneration %}", Ok(whole));
    check("<|assistant|>{%- generation -%} {{- m.content }}{% endgeneration %}<|end|>", Ok(whole));
    check("<|assistant|>{{ m.content }}<|end|>", Ok(whole));
    check(
        "{% generation %}<|assistant|>{% endgeneration %}{{ m.content }}<|end|>",
        Err("leaves out token"),
    );
    check(
        "<|assistant|>{{ m.content.upper() }}<|end|>",
        Err("the chat template changes the answer"),
    );
}

#[test]
fn a_broken_folder_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let message = |expected: &str| {
        let message = Tokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    message("no tokenizer here; a model folder needs tokenizer.json");
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    message("tokenizer.json: is not a tokenizer");
    small(folder.path(), &small_training());
    // it goes before the config
    std::fs::remove_file(folder.path().join("special_tokens_map.json")).unwrap();
    let config = folder.path().join("tokenizer_config.json");
    std::fs::write(&config, "{\"eos_token\": 3}").unwrap();
    message("tokenizer_config.json: eos_token: a token must be a text");
    std::fs::write(&config, "{\"additional_special_tokens\": [{}]}").unwrap();
    message("additional_special_tokens: a token must be a text");
    std::fs::write(&config, "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}").unwrap();
    message("added_tokens_decoder.x: is no id");
    std::fs::write(&config, "[").unwrap();
    message("tokenizer_config.json: is not JSON");
    std::fs::write(&config, "{\"chat_template\": [{\"name\": \"default\", \"template\": \"{{\"}]}")
        .unwrap();
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    message("is not a template that can be read");
}

#[test]
fn of_several_templates_the_default_one_is_used() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path(), &small_training());
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    let config = "{\"eos_token\": {\"content\": \"<|end|>\"}, \"chat_template\": [{\"name\": \"tool_use\", \"template\": \"a\"}, {\"name\": \"default\", \"template\": \"b{{ eos_token }}\"}]}";
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let text = tokenizer.template().unwrap().render(&[], false).unwrap();
    assert_eq!(text, "b<|end|>");
}

#[test]
fn real_templates_of_every_kind_render() {
    // Files that stand beside a tokenizer without being its template.
    for (file, expected) in [
        ("llama3/chat_template_llama3.1.jinja", "Today Date: 26 Jul 2024"),
        ("llama3/chat_template_llama3.2.jinja", "Today Date: 01 Jan 2026"),
        ("gemma2-no-vocab/chat_template.jinja", "<start_of_turn>model\n"),
        ("minimind/tokenizer_config.json", "<|im_start|>assistant"),
    ] {
        let Some(path) = known(&format!("tokenizers/{file}")) else {
            continue;
        };
        let mut source = std::fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "json") {
            source = json(&path)["chat_template"].as_str().unwrap().to_string();
        }
        let template = ChatTemplate::new(&source, &path, BTreeMap::new()).unwrap();
        let options = TemplateOptions::parse(Some("2026-01-01"), &[""; 0]).unwrap();
        let template = template.with_options(&options);
        let text = template.render(&[Message::user("hello")], true).unwrap();
        assert!(text.contains(expected) && text.contains("hello"), "{file}: {text}");
    }
}

/// transformers must be able to load what [`train_bpe`] writes, and agree on every id; on real tokenizers, too.
#[test]
fn transformers_agrees() {
    const SCRIPT: &str = "
import sys, json
from transformers import AutoTokenizer, PreTrainedTokenizerFast
m = [{'role': 'user', 'content': sys.argv[1]}, {'role': 'assistant', 'content': 'return x + 12'}]
for folder in sys.argv[2:]:
    # transformers 5 reads OLMo 2's class, GPT2Tokenizer, as leave to split digits and lines as GPT-2 did, against tokenizer.json.
    t = (PreTrainedTokenizerFast if folder.endswith('olmo2') else AutoTokenizer).from_pretrained(folder)
    text = t.apply_chat_template(m, tokenize=False) if t.chat_template else ''
    ids = lambda text, **more: t(text, padding=False, truncation=False, **more)['input_ids']
    print(json.dumps({'text': text, 'ids': ids(text, add_special_tokens=False), 'plain': ids(sys.argv[1])}))";
    const QUESTION: &str = "Add 12 to «π» 🙂\n\n  def f(x):\treturn  x+3456\r\n";
    let found = std::process::Command::new("python3").args(["-c", "import transformers"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("skipped: no python3 with transformers");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    small(folder.path(), &small_training());
    let mut folders = vec![folder.path().to_path_buf()];
    for name in [
        "llama3",
        "mistral-v0.3",
        "qwen2.5",
        "smollm2",
        "smollm2-asfound",
        "olmo2",
        "gpt2",
        "gemma2-standin",
        "llama2",
        "minimind",
    ] {
        folders.extend(known(&format!("tokenizers/{name}")));
    }
    let output = std::process::Command::new("python3")
        .args(["-c", SCRIPT, QUESTION])
        .args(&folders)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(theirs.len(), folders.len());
    for (folder, theirs) in folders.iter().zip(theirs) {
        let tokenizer = Tokenizer::open(folder).unwrap();
        let name = folder.display();
        assert_eq!(tokenizer.encode(QUESTION, true).unwrap().ids, ids(&theirs["plain"]), "{name}");
        if tokenizer.template().is_some() {
            let ours =
                sequence(&tokenizer, &Example::pair("e", QUESTION, "return x + 12")).unwrap();
            assert_eq!(ours.text, theirs["text"].as_str().unwrap(), "{name}");
            assert_eq!(ours.ids, ids(&theirs["ids"]), "{name}");
        }
    }
}
