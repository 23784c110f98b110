use super::*;
use crate::chat::Message;

fn parse(rows: &str) -> Result<Dataset> {
    Dataset::parse(rows.as_bytes(), Path::new("rows.jsonl"))
}

#[test]
fn every_form_becomes_the_same_conversation() {
    let check = |row: &str| {
        let data = parse(row).unwrap();
        assert_eq!(data.examples[0].conversation, Conversation::pair("q", "a"), "{row}");
    };
    check(
        r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
    );
    check(r#"{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}"#);
    check(
        r#"{"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
    );
    check(r#"{"prompt": "q", "completion": "a"}"#);
    check(
        r#"{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}"#,
    );
    check(r#"{"instruction": "q", "input": "", "output": "a"}"#);
    check(r#"{"question": "q", "answer": "a", "more": 1}"#);
    check(r#"{"task_id": 601, "text": "q", "code": "a", "test_list": []}"#);
    check(r#"{"id": "x", "prompt": "q", "truth": "a", "check": {"kind": "number", "value": "1"}}"#);
}

#[test]
fn fields_that_a_table_adds_to_every_message_are_not_there() {
    let mut value = serde_json::json!([{"role": "user", "content": "q", "tool_calls": null}, {"content": null, "tool_calls": [{"arguments": {"a": 1, "b": null}}]}]);
    without_nulls(&mut value);
    let expected = serde_json::json!([{"role": "user", "content": "q"}, {"content": null, "tool_calls": [{"arguments": {"a": 1}}]}]);
    assert_eq!(value, expected);
}

#[test]
fn alpaca_has_more_to_say() {
    let row = r#"{"instruction": "i", "input": "n", "output": "o", "system": "s", "history": [["q", "a"]]}"#;
    let expected = Conversation::new(vec![
        Message::system("s"),
        Message::user("q"),
        Message::assistant("a"),
        Message::user("i\nn"),
        Message::assistant("o"),
    ]);
    assert_eq!(parse(row).unwrap().examples[0].conversation, expected);
}

#[test]
fn ids_come_from_the_row_or_the_line() {
    let rows = "\u{feff}{\"id\": \"x\", \"prompt\": \"q\", \"completion\": \"a\"}\r\n\n{\"prompt\": \"q\", \"completion\": \"a\"}\r\n{\"task_id\": 7, \"text\": \"q\", \"code\": \"a\"}";
    let data = parse(rows).unwrap();
    let ids: Vec<&str> = data.examples.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids, ["x", "rows:3", "7"]);
}

#[test]
fn a_row_that_does_not_fit_is_named_and_quoted() {
    let check = |rows: &str, expected: &str| {
        let message = parse(rows).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    };
    let good = "{\"prompt\": \"q\", \"completion\": \"a\"}\n";
    check("", "rows.jsonl: is empty");
    check(" \n", "rows.jsonl: is empty");
    check(&format!("{good}{{"), "rows.jsonl:2: expected one JSON object");
    check("[1]", "rows.jsonl:1: expected one JSON object: 1");
    check("1", "rows.jsonl:1: expected one JSON object: 1");
    check("{\"x\": 1}", "rows.jsonl:1: expected the keys messages,");
    check(
        "{\"question\": \"q\", \"answer\": 4}",
        "rows.jsonl:1: expected answer to be a text, found 4 without quotes; write \"4\": {",
    );
    check(
        "{\"prompt\": \"q\", \"completion\": \"\"}",
        "rows.jsonl:1: message 2 of 2: the assistant's answer is empty",
    );
    check(
        "{\"messages\": [{\"role\": \"judge\", \"content\": \"x\"}]}",
        "rows.jsonl:1: expected message 1 of messages to be from",
    );
    check(
        "{\"messages\": [{\"role\": \"user\"}]}",
        "rows.jsonl:1: expected message 1 of messages to have the text content",
    );
    check(
        "{\"id\": 1, \"prompt\": \"q\", \"completion\": \"a\"}\n{\"id\": 1, \"prompt\": \"q\", \"completion\": \"a\"}",
        "rows.jsonl:2: the id \"1\" stands already in row 1",
    );
    let long = format!("{{\"x\": \"{}\"}}", "y".repeat(500));
    assert!(parse(&long).unwrap_err().to_string().len() < 400);
    let message = Dataset::parse(b"{\"a\": \"\xff\"}", Path::new("x")).unwrap_err();
    assert!(message.to_string().contains("UTF-8"), "{message}");
}

#[test]
fn a_folder_with_one_file_is_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| Dataset::read(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("none")).contains("no data set here"));
    assert!(message(folder.path()).contains("no data file here"));
    let row = "{\"prompt\": \"q\", \"completion\": \"a\"}\n";
    std::fs::write(folder.path().join("a.jsonl"), row).unwrap();
    let data = Dataset::read(folder.path()).unwrap();
    assert_eq!((data.len(), data.sha256), (1, bytes_hash(row.as_bytes())));
    std::fs::write(folder.path().join("b.jsonl"), row).unwrap();
    assert!(message(folder.path()).contains("has 2 data sets: a.jsonl, b.jsonl"));
}

#[test]
fn columns_of_other_names_are_read_when_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tickets.csv");
    std::fs::write(&file, "ticket,team\nThe wifi fails.,network\n").unwrap();
    let data = Dataset::read_columns(&file, "ticket", "team").unwrap();
    assert_eq!(data.examples[0].conversation.completion(), Some("network"));
    let error = Dataset::read_columns(&file, "question", "team").unwrap_err();
    let error = error.to_string();
    assert!(error.contains("tickets.csv:2") && error.contains("`question`; there are"), "{error}");
    assert!(Dataset::read(&file).is_err());
}
