//! Two real models against a float64 reference.

use crate::support::{backends, max_difference, shared};
use candle_core::Device;
use std::path::Path;
use unforget::model::{Backend, Batch, Checkpoint};

fn check(name: &str) {
    if let Some(folder) = shared(&format!("real/models/{name}"), name) {
        backends().iter().for_each(|backend| check_on(backend, name, &folder));
    }
}

fn check_on(backend: &Backend, name: &str, folder: &Path) {
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("golden.json")).unwrap())
            .unwrap();
    let logits =
        candle_core::safetensors::load(folder.join("golden_logits.safetensors"), &Device::Cpu)
            .unwrap();
    let model = Checkpoint::open(folder).unwrap().load_base(backend).unwrap();
    let decoder = model.decoder.merged().unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let ids = |key: &str| -> Vec<u32> {
            case[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let prompt = ids("ids");
        let mut batch = Batch::new();
        batch.push(&[1, 5, 9], &[1.0; 3]); // a neighbor, which must change nothing
        batch.push(&prompt, &vec![1.0; prompt.len()]);
        let got = decoder.logits(&batch).unwrap().narrow(0, 3, prompt.len()).unwrap();
        let want = &logits[case["logits_tensor"].as_str().unwrap()];
        let flat = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let difference = max_difference(&flat(&got), &flat(want));
        assert!(difference <= 1e-4, "{name}: logits differ by {difference}");

        let scored = decoder.score(&batch).unwrap();
        let nll: Vec<f32> = scored.log_prob[2..].iter().map(|l| -l).collect();
        let want: Vec<f32> = case["nll_per_token"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap() as f32)
            .collect();
        let difference = max_difference(&nll, &want);
        assert!(difference <= 1e-4, "{name}: surprisal differs by {difference}");

        let want = ids("greedy_ids_60_stop_at_2");
        let mut cache = decoder.cache();
        let mut next = decoder.prefill(&mut cache, &[&prompt], 1).unwrap();
        let mut greedy = prompt.clone();
        while greedy.len() < prompt.len() + 60 {
            let id = next.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0];
            if model.stop_ids.contains(&id) {
                break;
            }
            greedy.push(id);
            next = decoder.step(&mut cache, &[id]).unwrap();
        }
        assert_eq!(greedy, want, "{name}: greedy ids");
    }
}

#[test]
fn stories260k_matches_its_reference() {
    check("stories260k");
}

#[test]
fn tinystories_656k_matches_its_reference() {
    check("tinystories-656k");
}
