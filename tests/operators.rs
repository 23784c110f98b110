//! Every operator against finite differences, and its fused form against its composed one.

use candle_core::{DType, Device, Result, Tensor, Var};
use std::sync::Arc;
use unforget::ops::{self, Attention, Gradients, Rope};
use unforget::rng::Rng;

fn random(shape: &[usize], name: &str) -> Tensor {
    let mut rng = Rng::new(3, name);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Checks `f`'s gradients for each input: composed (f64) against central differences, then fused (f32) against composed.
fn check(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let weighted = |y: &Tensor| {
        let weights = random(y.dims(), "output").to_dtype(y.dtype())?;
        (y * weights)?.sum_all()
    };
    let gradients = |dtype: DType| -> (Vec<f64>, Vec<Vec<f64>>) {
        let vars: Vec<Var> = inputs
            .iter()
            .map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(&tensors).unwrap();
        let grads = weighted(&y).unwrap().backward().unwrap();
        (
            flat(&y),
            vars.iter()
                .map(|v| flat(grads.get(v).expect("every input gets a gradient")))
                .collect(),
        )
    };
    let (y, composed) = gradients(DType::F64);
    for (which, input) in inputs.iter().enumerate() {
        let values = flat(input);
        for at in 0..values.len() {
            let nudged = |by: f64| {
                let mut moved = values.clone();
                moved[at] += by;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(moved, input.shape(), &Device::Cpu).unwrap();
                flat(&weighted(&f(&inputs).unwrap()).unwrap())[0]
            };
            let slope = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
            let got = composed[which][at];
            assert!(
                (slope - got).abs() < 1e-6 * (1.0 + slope.abs()),
                "input {which}, value {at}: {got}, slope {slope}"
            );
        }
    }
    let (y32, fused) = gradients(DType::F32);
    let close = |a: &[f64], b: &[f64], what: &str| {
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            assert!(
                (a - b).abs() < 2e-5 * (1.0 + b.abs()),
                "{what}, value {at}: fused {a}, composed {b}"
            );
        }
    };
    close(&y32, &y, "result");
    for (which, (a, b)) in fused.iter().zip(&composed).enumerate() {
        close(a, b, &format!("gradient of input {which}"));
    }
}

#[test]
fn linear_has_the_right_gradients() {
    check(&[random(&[5, 3], "x"), random(&[4, 3], "w")], |v| {
        ops::linear(&v[0], &v[1])
    });
}

#[test]
fn a_frozen_linear_passes_its_gradient_on_and_keeps_none() {
    let w = random(&[4, 3], "w");
    check(&[random(&[5, 3], "x")], |v| {
        ops::linear(&v[0], &w.to_dtype(v[0].dtype())?)
    });
}

#[test]
fn lora_linear_has_the_right_gradients() {
    let w = random(&[4, 3], "w");
    check(
        &[
            random(&[5, 3], "x"),
            random(&[2, 3], "a"),
            random(&[4, 2], "b"),
        ],
        |v| ops::lora_linear(&v[0], &w.to_dtype(v[0].dtype())?, &v[1], &v[2], 0.7),
    );
}

#[test]
fn rms_norm_has_the_right_gradients() {
    check(&[random(&[3, 37], "x"), random(&[37], "w")], |v| {
        ops::rms_norm(&v[0], &v[1], 1e-5)
    });
    let w = random(&[37], "w");
    check(&[random(&[3, 37], "x")], |v| {
        ops::rms_norm(&v[0], &w.to_dtype(v[0].dtype())?, 1e-5)
    });
}

#[test]
fn swiglu_has_the_right_gradients() {
    check(&[random(&[3, 21], "gate"), random(&[3, 21], "up")], |v| {
        ops::swiglu(&v[0], &v[1])
    });
}

#[test]
fn attention_has_the_right_gradients() {
    // three sequences, one of a single token, grouped heads
    let starts: Arc<[usize]> = Arc::from([0, 4, 5, 8]);
    let rope = Rope::new(vec![1.0, 0.3]);
    let shape = Attention {
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        scale: 0.5,
    };
    check(
        &[
            random(&[8, 16], "q"),
            random(&[8, 8], "k"),
            random(&[8, 8], "v"),
        ],
        |v| ops::attention(&v[0], &v[1], &v[2], &shape, &starts, &rope.table(8)),
    );
}

#[test]
fn long_attention_is_the_same_fused_and_composed() {
    // longer than a block of query rows, so that the triangle is cut
    let starts: Arc<[usize]> = Arc::from([0, 131, 200]);
    let rope = Rope::new(vec![1.0, 0.5, 0.1, 0.01]);
    let shape = Attention {
        heads: 3,
        kv_heads: 1,
        head_dim: 8,
        scale: 0.35,
    };
    let inputs = [
        random(&[200, 24], "q"),
        random(&[200, 8], "k"),
        random(&[200, 8], "v"),
    ];
    let run = |dtype: DType| {
        let vars: Vec<Var> = inputs
            .iter()
            .map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let y = ops::attention(
            &vars[0],
            &vars[1],
            &vars[2],
            &shape,
            &starts,
            &rope.table(200),
        )
        .unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let grads: Vec<_> = vars.iter().map(|v| flat(grads.get(v).unwrap())).collect();
        (flat(&y), grads)
    };
    let ((y, grads), (y32, grads32)) = (run(DType::F64), run(DType::F32));
    for (a, b) in y
        .iter()
        .zip(&y32)
        .chain(grads.iter().flatten().zip(grads32.iter().flatten()))
    {
        assert!((a - b).abs() < 3e-5 * (1.0 + a.abs()), "{a} {b}");
    }
}

#[test]
fn the_token_loss_has_the_right_gradients_and_facts() {
    let (targets, weights) = ([2u32, 40, 0, 7], [0.5f32, 1.0, 0.25, 2.0]);
    let (hidden, head) = (random(&[4, 6], "h"), random(&[41, 6], "head"));
    let loss = |h: &Tensor, w: &Tensor| {
        ops::token_loss(h, w, &targets, &weights, Gradients::HiddenAndHead).unwrap()
    };
    for dtype in [DType::F64, DType::F32] {
        let (h, w) = (
            hidden.to_dtype(dtype).unwrap(),
            head.to_dtype(dtype).unwrap(),
        );
        let got = loss(&h, &w);
        // the definition, in f64
        let logits = hidden
            .matmul(&head.t().unwrap())
            .unwrap()
            .to_vec2::<f64>()
            .unwrap();
        for (row, logits) in logits.iter().enumerate() {
            let sum: f64 = logits.iter().map(|l| l.exp()).sum();
            let wanted = logits[targets[row] as usize];
            let p: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect();
            let entropy: f64 = -p.iter().map(|p| p * p.ln()).sum::<f64>();
            assert!((f64::from(got.log_prob[row]) - (wanted - sum.ln())).abs() < 1e-5);
            assert!((f64::from(got.entropy[row]) - entropy).abs() < 1e-5);
            assert_eq!(
                got.rank[row],
                logits.iter().filter(|l| **l > wanted).count() as u32
            );
        }
        for (input, gradient, which) in [
            (&hidden, got.hidden_gradient, 0),
            (&head, got.head_gradient, 1),
        ] {
            let (values, gradient) = (flat(input), flat(&gradient.unwrap()));
            for at in 0..values.len() {
                let nudged = |by: f64| {
                    let mut moved = values.clone();
                    moved[at] += by;
                    let moved = Tensor::from_vec(moved, input.shape(), &Device::Cpu).unwrap();
                    let got = if which == 0 {
                        loss(&moved, &head)
                    } else {
                        loss(&hidden, &moved)
                    };
                    let pairs = weights.iter().zip(&got.log_prob);
                    (
                        got.loss,
                        pairs
                            .map(|(w, l)| -f64::from(*w) * f64::from(*l))
                            .sum::<f64>(),
                    )
                };
                let slope = (nudged(1e-3).0 - nudged(-1e-3).0) / 2e-3;
                assert!(
                    (slope - gradient[at]).abs() < 2e-3 * (1.0 + slope.abs()),
                    "{which} {at}: {slope} {}",
                    gradient[at]
                );
            }
        }
    }
}

#[test]
fn a_seed_starts_the_backward_pass() {
    let x = Var::from_tensor(&random(&[2, 3], "x").to_dtype(DType::F32).unwrap()).unwrap();
    let seed = random(&[2, 3], "seed").to_dtype(DType::F32).unwrap();
    let grads = ops::seed_gradient(&x.affine(3.0, 0.0).unwrap(), &seed)
        .unwrap()
        .backward()
        .unwrap();
    assert_eq!(
        flat(grads.get(&x).unwrap()),
        flat(&seed.affine(3.0, 0.0).unwrap())
    );
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for dtype in [DType::F32, DType::F64] {
        let t = |shape: &[usize]| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        assert!(ops::linear(&t(&[2, 3]), &t(&[4, 2])).is_err());
        let w = t(&[4, 3]);
        for (a, b) in [([2, 2], [4, 2]), ([2, 3], [4, 3]), ([2, 3], [5, 2])] {
            assert!(ops::lora_linear(&t(&[2, 3]), &w, &t(&a), &t(&b), 1.0).is_err());
        }
        assert!(ops::rms_norm(&t(&[2, 6]), &t(&[3]), 1e-5).is_err());
        assert!(ops::swiglu(&t(&[2, 6]), &t(&[2, 5])).is_err());
        let shape = Attention {
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            scale: 1.0,
        };
        let rope = Rope::new(vec![1.0]);
        let attention = |q: [usize; 2], k: [usize; 2], starts: &[usize], positions: usize| {
            let table = rope.table(positions);
            ops::attention(&t(&q), &t(&k), &t(&k), &shape, &Arc::from(starts), &table)
        };
        assert!(attention([5, 4], [5, 2], &[0, 2, 5], 3).is_ok());
        assert!(attention([5, 4], [4, 2], &[0, 2, 5], 3).is_err());
        assert!(attention([5, 6], [5, 2], &[0, 2, 5], 3).is_err());
        assert!(attention([5, 4], [5, 2], &[0, 2, 4], 3).is_err());
        assert!(attention([5, 4], [5, 2], &[0, 6, 5], 3).is_err());
    }
}

#[test]
fn a_single_row_and_turned_inputs_have_the_right_gradients() {
    check(&[random(&[1, 3], "x"), random(&[4, 3], "w")], |v| {
        ops::linear(&v[0], &v[1])
    });
    check(&[random(&[5, 1], "x"), random(&[1, 1], "w")], |v| {
        ops::linear(&v[0], &v[1])
    });
    // neither input lies row by row in memory
    check(&[random(&[3, 5], "x"), random(&[3, 4], "w")], |v| {
        ops::linear(&v[0].t()?, &v[1].t()?)
    });
    check(&[random(&[4, 7], "x")], |v| {
        let x = v[0].narrow(0, 2, 1)?.narrow(1, 1, 5)?; // one row inside a larger tensor
        let w = Tensor::ones((2, 5), x.dtype(), x.device())?;
        ops::swiglu(&ops::linear(&x, &w)?, &ops::linear(&x, &w)?)
    });
    let w = random(&[4, 1], "w");
    check(
        &[
            random(&[1, 1], "x"),
            random(&[1, 1], "a"),
            random(&[4, 1], "b"),
        ],
        |v| ops::lora_linear(&v[0], &w.to_dtype(v[0].dtype())?, &v[1], &v[2], 0.7),
    );
    check(&[random(&[37, 3], "x"), random(&[37], "w")], |v| {
        ops::rms_norm(&v[0].t()?, &v[1], 1e-5)
    });
}

#[test]
fn a_token_that_is_impossible_has_surprisal_without_end_and_spoils_no_entropy() {
    // logits of 0 and of minus infinity: the weights are so long that their product overflows
    for vocabulary in [3, 20, 41] {
        let hidden = Tensor::new(&[[1f32, 3e38]], &Device::Cpu).unwrap();
        let mut head = vec![vec![0f32, 0.0]; vocabulary];
        head[1] = vec![0.0, -10.0];
        let head = Tensor::new(head, &Device::Cpu).unwrap();
        let loss = |target: u32| {
            ops::token_loss(&hidden, &head, &[target], &[1.0], Gradients::None).unwrap()
        };
        let left = (vocabulary - 1) as f32;
        let possible = loss(0);
        assert!((possible.entropy[0] - left.ln()).abs() < 1e-5);
        assert!((possible.log_prob[0] + left.ln()).abs() < 1e-5);
        assert_eq!(loss(1).log_prob[0], f32::NEG_INFINITY);
    }
}
