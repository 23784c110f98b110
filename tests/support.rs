//! What several subjects need.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unforget::model::{Backend, Checkpoint, Decoder, DeviceChoice, open_device};

/// A folder beside the project that holds real models and data sets, where there is one; says what is skipped otherwise.
pub fn shared(folder: &str, skipped: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(folder);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {skipped}: no {}", path.display());
    None
}

/// Copies a folder with all that is below it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => drop(std::fs::copy(&path, target).unwrap()),
        }
    }
}

/// The made-up copy of the authors' folder, in `folder`, where a test may change it (tests/reference/make_audit.py made it).
pub fn made_up_audit(folder: &Path) {
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/data/audit"), folder);
}

/// A file or folder of the reference numbers, `tests/reference/`.
pub fn reference(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(path)
}

/// The model in a folder of the reference numbers; it has no tokenizer, so `Checkpoint::open` would refuse it.
pub fn reference_checkpoint(name: &str) -> Checkpoint {
    Checkpoint {
        model: reference(name),
        adapter: None,
        adapter_scale: None,
        template: Default::default(),
        precision: None,
    }
}

/// Its weights.
pub fn reference_decoder(name: &str) -> Decoder {
    reference_decoder_on(&Backend::from(&Device::Cpu), name)
}

/// The same where `backend` computes.
pub fn reference_decoder_on(backend: &Backend, name: &str) -> Decoder {
    reference_checkpoint(name).load_base(backend).unwrap().decoder
}

/// The two ways to compute in f32 that must agree: fused, and composed as on a GPU.
pub fn backends() -> [Backend; 2] {
    [DeviceChoice::Cpu, DeviceChoice::CpuComposed].map(|choice| open_device(choice).unwrap())
}

/// As a GPU computes, in bf16.
pub fn in_bf16() -> Backend {
    open_device(DeviceChoice::CpuBf16).unwrap()
}

/// The tensors of a safetensors file of the reference numbers.
pub fn reference_tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(reference(path), &Device::Cpu).unwrap()
}

/// A JSON file of the reference numbers.
pub fn reference_json(path: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(reference(path)).unwrap()).unwrap()
}

/// A tensor's f32 values in row-major order.
pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest absolute difference.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|value| value.is_finite()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Two tensors of one shape differ by at most 1e-4 in every value; `what` names them in the message.
pub fn assert_close(got: &Tensor, want: &Tensor, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}: shape");
    let difference = max_difference(&flat(got), &flat(want));
    assert!(difference <= 1e-4, "{what}: differs by {difference}");
}

/// Refused, with every one of `parts` in the message.
pub fn assert_refused<T>(result: unforget::error::Result<T>, parts: &[&str]) {
    let Err(error) = result else { panic!("accepted, but should say {parts:?}") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

/// Runs a command that is killed at a named point of its work, so that no test has to be faster than the work.
pub fn killed_at(mut command: Command, point: &str) {
    let status = command
        .env("UNFORGET_TEST_KILL", point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    #[cfg(unix)]
    let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL);
    #[cfg(not(unix))]
    let killed = !status.success();
    assert!(killed, "it did not come to `{point}`: {status}");
}

/// The first Python that can import `module`: `UNFORGET_PYTHON`, `python3`, the project's `.venv`. Says what is skipped where there is none.
pub fn python_with(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("UNFORGET_PYTHON").map(PathBuf::from);
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let mut candidates = named.into_iter().chain(["python3".into(), project]);
    let found = candidates.find(|python| {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).output();
        import.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        println!("skipped: no Python with {module}; name one in UNFORGET_PYTHON");
    }
    found
}

/// Runs a script that reads JSON from its standard input and prints one JSON value in each line.
pub fn run_python(
    python: &Path,
    script: &str,
    input: &serde_json::Value,
    arguments: &[&Path],
) -> Vec<serde_json::Value> {
    let mut child = Command::new(python)
        .args(["-c", script])
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
