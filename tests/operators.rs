//! Every operator against finite differences, and its fused form against its composed one.

use candle_core::{DType, Device, Result, Tensor, Var};
use std::sync::Arc;
use unforget::ops::{self, Activation, Attention, Gradients, NormWeight, Path, Rope, Sequences};
use unforget::rng::Rng;

fn random(shape: &[usize], name: &str) -> Tensor {
    let mut rng = Rng::new(3, name);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn sequences(starts: &[usize]) -> Arc<Sequences> {
    Arc::new(starts.into())
}

/// The ways to compute f32, and f64.
const WAYS: [(Path, DType); 3] =
    [(Path::Host, DType::F32), (Path::Composed, DType::F32), (Path::Composed, DType::F64)];

fn flat(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Checks `f`'s gradients for each input: composed in f64 against central differences, then in f32 fused and composed against that.
fn check(inputs: &[Tensor], f: impl Fn(Path, &[Tensor]) -> Result<Tensor>) {
    let weighted = |y: &Tensor| {
        let weights = random(y.dims(), "output").to_dtype(y.dtype())?;
        (y * weights)?.sum_all()
    };
    let gradients = |path: Path, dtype: DType| -> (Vec<f64>, Vec<Vec<f64>>) {
        let vars: Vec<Var> =
            inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(path, &tensors).unwrap();
        let grads = weighted(&y).unwrap().backward().unwrap();
        (
            flat(&y),
            vars.iter().map(|v| flat(grads.get(v).expect("every input gets a gradient"))).collect(),
        )
    };
    let (y, composed) = gradients(Path::Composed, DType::F64);
    for (which, input) in inputs.iter().enumerate() {
        let values = flat(input);
        for at in 0..values.len() {
            let nudged = |by: f64| {
                let mut moved = values.clone();
                moved[at] += by;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(moved, input.shape(), &Device::Cpu).unwrap();
                flat(&weighted(&f(Path::Composed, &inputs).unwrap()).unwrap())[0]
            };
            let slope = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
            let got = composed[which][at];
            assert!(
                (slope - got).abs() < 1e-6 * (1.0 + slope.abs()),
                "input {which}, value {at}: {got}, slope {slope}"
            );
        }
    }
    for path in [Path::Host, Path::Composed] {
        let (y32, single) = gradients(path, DType::F32);
        let close = |a: &[f64], b: &[f64], what: &str| {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                assert!(
                    (a - b).abs() < 2e-5 * (1.0 + b.abs()),
                    "{path:?}, {what}, value {at}: {a}, in f64 {b}"
                );
            }
        };
        close(&y32, &y, "result");
        for (which, (a, b)) in single.iter().zip(&composed).enumerate() {
            close(a, b, &format!("gradient of input {which}"));
        }
    }
}

#[test]
fn linear_has_the_right_gradients() {
    check(&[random(&[5, 3], "x"), random(&[4, 3], "w")], |path, v| ops::linear(path, &v[0], &v[1]));
}

#[test]
fn a_frozen_linear_passes_its_gradient_on_and_keeps_none() {
    let w = random(&[4, 3], "w");
    check(&[random(&[5, 3], "x")], |path, v| ops::linear(path, &v[0], &w.to_dtype(v[0].dtype())?));
}

#[test]
fn lora_linear_has_the_right_gradients() {
    let w = random(&[4, 3], "w");
    check(&[random(&[5, 3], "x"), random(&[2, 3], "a"), random(&[4, 2], "b")], |path, v| {
        ops::lora_linear(path, &v[0], &w.to_dtype(v[0].dtype())?, &v[1], &v[2], 0.7)
    });
}

const FORMS: [NormWeight; 3] = [NormWeight::Rounded, NormWeight::Wide, NormWeight::OnePlus];

#[test]
fn rms_norm_has_the_right_gradients() {
    for form in FORMS {
        check(&[random(&[3, 37], "x"), random(&[37], "w")], |path, v| {
            ops::rms_norm(path, &v[0], &v[1], 1e-5, form)
        });
        let w = random(&[37], "w");
        check(&[random(&[3, 37], "x")], |path, v| {
            ops::rms_norm(path, &v[0], &w.to_dtype(v[0].dtype())?, 1e-5, form)
        });
    }
}

#[test]
fn a_norm_whose_weight_counts_from_one_is_the_plain_one_with_a_weight_larger_by_one() {
    let (x, w) = (random(&[3, 37], "x"), random(&[37], "w"));
    for (path, dtype) in WAYS {
        let (x, w) = (x.to_dtype(dtype).unwrap(), w.to_dtype(dtype).unwrap());
        let got = ops::rms_norm(path, &x, &w, 1e-5, NormWeight::OnePlus).unwrap();
        let larger = (w + 1.0).unwrap();
        let want = ops::rms_norm(path, &x, &larger, 1e-5, NormWeight::Rounded).unwrap();
        assert_eq!(flat(&got), flat(&want));
    }
}

/// In a precision that rounds, the three forms of the weight differ, each as its formula in f32 says.
#[test]
fn a_norm_rounds_where_its_family_does() {
    let path = Path::Composed;
    let short = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_dtype(DType::BF16).unwrap();
    let (x, w) = (short(&random(&[5, 64], "x")), short(&random(&[64], "w")));
    let (wide_x, wide_w) = (x.to_dtype(DType::F32).unwrap(), w.to_dtype(DType::F32).unwrap());
    let mut seen: Vec<Vec<f64>> = Vec::new();
    for form in FORMS {
        let got = ops::rms_norm(path, &x, &w, 1e-5, form).unwrap();
        assert_eq!(got.dtype(), DType::BF16);
        let ones = Tensor::ones(64, DType::F32, &Device::Cpu).unwrap();
        let normed = ops::rms_norm(path, &wide_x, &ones, 1e-5, NormWeight::Wide).unwrap();
        let want = match form {
            NormWeight::Rounded => {
                let rounded = short(&normed).to_dtype(DType::F32).unwrap();
                rounded.broadcast_mul(&wide_w)
            }
            NormWeight::Wide => normed.broadcast_mul(&wide_w),
            NormWeight::OnePlus => normed.broadcast_mul(&(&wide_w + 1.0).unwrap()),
        };
        let got = flat(&got);
        // the fused sum of squares adds in another order, which may turn a rounding in the last place of bf16
        for (a, b) in got.iter().zip(flat(&want.unwrap())) {
            assert!((a - b).abs() <= b.abs() / 128.0 + 1e-6, "{form:?}: {a}, {b}");
        }
        assert!(!seen.contains(&got), "{form:?} is like another");
        seen.push(got);
    }
}

const ACTIVATIONS: [Activation; 2] = [Activation::Silu, Activation::GeluTanh];

#[test]
fn the_gated_units_have_the_right_gradients() {
    for activation in ACTIVATIONS {
        // wide enough that the gates reach where the activations are straight
        let gate = (random(&[3, 21], "gate") * 3.0).unwrap();
        check(&[gate, random(&[3, 21], "up")], |path, v| {
            ops::gated(path, &v[0], &v[1], activation)
        });
    }
}

/// ```python
/// import torch; from torch.nn.functional import gelu, silu
/// x = torch.tensor([-30., -3., -1., -0.1, 0., 0.1, 1., 3., 30.], dtype=torch.float64)
/// print(gelu(x, approximate="tanh").tolist(), silu(x).tolist())
/// ```
#[test]
fn the_activations_are_pytorchs() {
    let x = [-30.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 30.0];
    let want = [(Activation::GeluTanh, GELU_TANH), (Activation::Silu, SILU)];
    for (activation, want) in want {
        for (path, dtype) in WAYS {
            let gate = Tensor::new(&x, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let got = ops::gated(path, &gate, &gate.ones_like().unwrap(), activation).unwrap();
            for (got, want) in flat(&got).iter().zip(want) {
                assert!((got - want).abs() < 2e-7 * (1.0 + want.abs()), "{got}, {want}");
            }
        }
    }
}

const GELU_TANH: [f64; 9] = [
    -0.0,
    -0.0036373920817729943,
    -0.1588080093917233,
    -0.04601724895456484,
    0.0,
    0.053982751045435165,
    0.8411919906082768,
    2.996362607918227,
    30.0,
];

const SILU: [f64; 9] = [
    -2.8072868906517896e-12,
    -0.14227761953270035,
    -0.2689414213699951,
    -0.047502081252106004,
    0.0,
    0.052497918747894,
    0.7310585786300049,
    2.8577223804672998,
    29.999999999997197,
];

/// Windows and soft-caps: none, each, both; a window of one sees nothing but the token itself.
fn variants(shape: Attention) -> impl Iterator<Item = Attention> {
    let windows = [None, Some(1), Some(3), Some(61), Some(500)];
    windows.into_iter().flat_map(move |window| {
        [None, Some(0.8)].map(|softcap| Attention { window, softcap, ..shape })
    })
}

#[test]
fn attention_has_the_right_gradients() {
    // three sequences, one of a single token, grouped heads
    let starts = sequences(&[0, 4, 5, 8]);
    let rope = Rope::new(vec![1.0, 0.3]);
    let shape =
        Attention { heads: 4, kv_heads: 2, head_dim: 4, scale: 0.5, window: None, softcap: None };
    for shape in variants(shape).filter(|shape| shape.window.is_none_or(|window| window < 60)) {
        check(&[random(&[8, 16], "q"), random(&[8, 8], "k"), random(&[8, 8], "v")], |path, v| {
            ops::attention(path, [&v[0], &v[1], &v[2]], &shape, &starts, &rope.table(8))
        });
    }
}

/// The definition, for one head without rotation.
#[test]
fn attention_sees_as_far_as_its_window_and_bounds_its_scores() {
    let (length, window, cap) = (9, 4, 1.5);
    let [q, k, v] = ["q", "k", "v"].map(|name| random(&[length, 2], name));
    let shape = Attention {
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        scale: 2.0,
        window: Some(window),
        softcap: Some(cap),
    };
    let [qs, ks, vs] = [&q, &k, &v].map(|t| t.to_vec2::<f64>().unwrap());
    let starts = sequences(&[0, length]);
    let table = Rope::new(vec![0.0]).table(length);
    for (path, dtype) in WAYS {
        let [q, k, v] = [&q, &k, &v].map(|t| t.to_dtype(dtype).unwrap());
        let got = flat(&ops::attention(path, [&q, &k, &v], &shape, &starts, &table).unwrap());
        for i in 0..length {
            let seen: Vec<usize> = (0..=i).filter(|j| i - j < window).collect();
            let score = |j: usize| {
                let plain = 2.0 * (qs[i][0] * ks[j][0] + qs[i][1] * ks[j][1]);
                (cap * (plain / cap).tanh()).exp()
            };
            let sum: f64 = seen.iter().map(|j| score(*j)).sum();
            for column in 0..2 {
                let want: f64 = seen.iter().map(|j| score(*j) / sum * vs[*j][column]).sum();
                let got = got[i * 2 + column];
                assert!((got - want).abs() < 1e-5, "{dtype:?}, row {i}: {got}, {want}");
            }
        }
    }
}

/// What a generating row remembers, in two pieces wherever they are cut, against attention over the whole sequence.
#[test]
fn attention_to_what_is_remembered_is_the_last_row_of_the_whole() {
    let length = 70;
    let rope = Rope::new(vec![1.0, 0.5, 0.1, 0.01]);
    let plain =
        Attention { heads: 4, kv_heads: 2, head_dim: 8, scale: 0.35, window: None, softcap: None };
    let [q, k, v] = [("q", 32), ("k", 16), ("v", 16)]
        .map(|(name, width)| random(&[length, width], name).to_dtype(DType::F32).unwrap());
    let host = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let starts = sequences(&[0, length]);
    let table = rope.table(length);
    // keys turned by hand
    let mut keys = host(&k);
    for (at, key) in keys.chunks_exact_mut(8).enumerate() {
        let (position, first) = (at / 2, key.to_vec());
        for (i, frequency) in [1.0f32, 0.5, 0.1, 0.01].iter().enumerate() {
            let (sin, cos) = (position as f32 * frequency).sin_cos();
            key[i] = first[i] * cos - first[i + 4] * sin;
            key[i + 4] = first[i + 4] * cos + first[i] * sin;
        }
    }
    let (values, newest) = (host(&v), host(&q.narrow(0, length - 1, 1).unwrap()));
    for shape in variants(plain) {
        let whole = ops::attention(Path::Host, [&q, &k, &v], &shape, &starts, &table).unwrap();
        let want = host(&whole.narrow(0, length - 1, 1).unwrap());
        for cut in [0, 1, 9, 67, 69] {
            let row = ops::CachedRow {
                keys: [&keys[..cut * 16], &keys[cut * 16..]],
                values: [&values[..cut * 16], &values[cut * 16..]],
            };
            let got = ops::cached_attention(&newest, &[row], &shape, &table);
            for (a, b) in got.iter().zip(&want) {
                assert!((a - b).abs() < 1e-5, "{shape:?}, cut {cut}: {a}, {b}");
            }
        }
    }
}

#[test]
fn long_attention_is_the_same_fused_and_composed() {
    let shape =
        Attention { heads: 3, kv_heads: 1, head_dim: 8, scale: 0.35, window: None, softcap: None };
    for shape in variants(shape) {
        check_long_attention(shape);
    }
}

fn check_long_attention(shape: Attention) {
    // longer than a block of query rows, so that the triangle is cut
    let starts = sequences(&[0, 131, 200]);
    let rope = Rope::new(vec![1.0, 0.5, 0.1, 0.01]);
    let inputs = [random(&[200, 24], "q"), random(&[200, 8], "k"), random(&[200, 8], "v")];
    let run = |path: Path, dtype: DType, starts: &Arc<Sequences>| {
        let vars: Vec<Var> =
            inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
        let y =
            ops::attention(path, [&vars[0], &vars[1], &vars[2]], &shape, starts, &rope.table(200))
                .unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let grads: Vec<_> = vars.iter().map(|v| flat(grads.get(v).unwrap())).collect();
        (flat(&y), grads)
    };
    // composed also a few query rows at a time, which must change nothing
    let mut few = Sequences::from(&starts.starts[..]);
    few.scores_at_once = 3 * 131 * 40;
    let few = Arc::new(few);
    let (y, grads) = run(Path::Composed, DType::F64, &starts);
    for (path, dtype, starts) in [
        (Path::Host, DType::F32, &starts),
        (Path::Composed, DType::F32, &starts),
        (Path::Composed, DType::F32, &few),
        (Path::Composed, DType::F64, &few),
    ] {
        let (y32, grads32) = run(path, dtype, starts);
        let gradients = grads.iter().flatten().zip(grads32.iter().flatten());
        for (a, b) in y.iter().zip(&y32).chain(gradients) {
            assert!((a - b).abs() < 3e-5 * (1.0 + a.abs()), "{path:?}, {shape:?}: {a} {b}");
        }
    }
}

#[test]
fn the_token_loss_has_the_right_gradients_and_facts() {
    let (targets, weights) = ([2u32, 40, 0, 7], [0.5f32, 1.0, 0.25, 2.0]);
    let (hidden, head) = (random(&[4, 6], "h"), random(&[41, 6], "head"));
    for (cap, (path, dtype)) in
        [None, Some(2.5)].into_iter().flat_map(|cap| WAYS.map(|way| (cap, way)))
    {
        let loss = |h: &Tensor, w: &Tensor| {
            ops::token_loss(path, h, w, &targets, &weights, cap, Gradients::HiddenAndHead).unwrap()
        };
        let (h, w) = (hidden.to_dtype(dtype).unwrap(), head.to_dtype(dtype).unwrap());
        let got = loss(&h, &w);
        // the definition, in f64
        let logits = hidden.matmul(&head.t().unwrap()).unwrap().to_vec2::<f64>().unwrap();
        for (row, logits) in logits.iter().enumerate() {
            let bounded = |l: &f64| cap.map_or(*l, |cap| cap * (l / cap).tanh());
            let logits: Vec<f64> = logits.iter().map(bounded).collect();
            let sum: f64 = logits.iter().map(|l| l.exp()).sum();
            let wanted = logits[targets[row] as usize];
            let p: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect();
            let entropy: f64 = -p.iter().map(|p| p * p.ln()).sum::<f64>();
            assert!((f64::from(got.log_prob[row]) - (wanted - sum.ln())).abs() < 1e-5);
            assert!((f64::from(got.entropy[row]) - entropy).abs() < 1e-5);
            assert_eq!(got.rank[row], logits.iter().filter(|l| **l > wanted).count() as u32);
        }
        for (input, gradient, which) in
            [(&hidden, got.hidden_gradient, 0), (&head, got.head_gradient, 1)]
        {
            let (values, gradient) = (flat(input), flat(&gradient.unwrap()));
            for at in 0..values.len() {
                let nudged = |by: f64| {
                    let mut moved = values.clone();
                    moved[at] += by;
                    let moved = Tensor::from_vec(moved, input.shape(), &Device::Cpu).unwrap();
                    let got = if which == 0 { loss(&moved, &head) } else { loss(&hidden, &moved) };
                    let pairs = weights.iter().zip(&got.log_prob);
                    (got.loss, pairs.map(|(w, l)| -f64::from(*w) * f64::from(*l)).sum::<f64>())
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
    let grads =
        ops::seed_gradient(&x.affine(3.0, 0.0).unwrap(), &seed).unwrap().backward().unwrap();
    assert_eq!(flat(grads.get(&x).unwrap()), flat(&seed.affine(3.0, 0.0).unwrap()));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for (path, dtype) in WAYS {
        let t = |shape: &[usize]| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        assert!(ops::linear(path, &t(&[2, 3]), t(&[4, 2])).is_err());
        let w = t(&[4, 3]);
        for (a, b) in [([2, 2], [4, 2]), ([2, 3], [4, 3]), ([2, 3], [5, 2])] {
            assert!(ops::lora_linear(path, &t(&[2, 3]), &w, &t(&a), &t(&b), 1.0).is_err());
        }
        assert!(
            FORMS
                .iter()
                .all(|form| ops::rms_norm(path, &t(&[2, 6]), &t(&[3]), 1e-5, *form).is_err())
        );
        assert!(
            ACTIVATIONS.iter().all(|act| ops::gated(path, &t(&[2, 6]), &t(&[2, 5]), *act).is_err())
        );
        let shape = Attention {
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            scale: 1.0,
            window: None,
            softcap: None,
        };
        let rope = Rope::new(vec![1.0]);
        let attention = |q: [usize; 2], k: [usize; 2], starts: &[usize], positions: usize| {
            let table = rope.table(positions);
            ops::attention(path, [&t(&q), &t(&k), &t(&k)], &shape, &sequences(starts), &table)
        };
        assert!(attention([5, 4], [5, 2], &[0, 2, 5], 3).is_ok());
        assert!(attention([5, 4], [4, 2], &[0, 2, 5], 3).is_err());
        assert!(attention([5, 6], [5, 2], &[0, 2, 5], 3).is_err());
        assert!(attention([5, 4], [5, 2], &[0, 2, 4], 3).is_err());
        assert!(attention([5, 4], [5, 2], &[0, 6, 5], 3).is_err());
        for (window, softcap) in [(Some(0), None), (None, Some(0.0)), (None, Some(f64::NAN))] {
            let shape = Attention { window, softcap, ..shape };
            let (q, k, starts) = (t(&[5, 4]), t(&[5, 2]), sequences(&[0, 5]));
            let refused = ops::attention(path, [&q, &k, &k], &shape, &starts, &rope.table(5));
            assert!(refused.is_err(), "{shape:?}");
        }
    }
}

#[test]
fn a_single_row_and_turned_inputs_have_the_right_gradients() {
    check(&[random(&[1, 3], "x"), random(&[4, 3], "w")], |path, v| ops::linear(path, &v[0], &v[1]));
    check(&[random(&[5, 1], "x"), random(&[1, 1], "w")], |path, v| ops::linear(path, &v[0], &v[1]));
    // neither input lies row by row in memory
    check(&[random(&[3, 5], "x"), random(&[3, 4], "w")], |path, v| {
        ops::linear(path, &v[0].t()?, &v[1].t()?)
    });
    check(&[random(&[4, 7], "x")], |path, v| {
        let x = v[0].narrow(0, 2, 1)?.narrow(1, 1, 5)?; // one row inside a larger tensor
        let w = Tensor::ones((2, 5), x.dtype(), x.device())?;
        let x = ops::linear(path, &x, &w)?;
        ops::gated(path, &x, &x, Activation::Silu)
    });
    let w = random(&[4, 1], "w");
    check(&[random(&[1, 1], "x"), random(&[1, 1], "a"), random(&[4, 1], "b")], |path, v| {
        ops::lora_linear(path, &v[0], &w.to_dtype(v[0].dtype())?, &v[1], &v[2], 0.7)
    });
    check(&[random(&[37, 3], "x"), random(&[37], "w")], |path, v| {
        ops::rms_norm(path, &v[0].t()?, &v[1], 1e-5, NormWeight::OnePlus)
    });
}

#[test]
fn a_token_that_is_impossible_has_surprisal_without_end_and_spoils_no_entropy() {
    // logits of 0 and of minus infinity: the weights are so long that their product overflows
    for (vocabulary, path) in
        [3, 20, 41].into_iter().flat_map(|size| [(size, Path::Host), (size, Path::Composed)])
    {
        let hidden = Tensor::new(&[[1f32, 3e38]], &Device::Cpu).unwrap();
        let mut head = vec![vec![0f32, 0.0]; vocabulary];
        head[1] = vec![0.0, -10.0];
        let head = Tensor::new(head, &Device::Cpu).unwrap();
        let loss = |target: u32| {
            ops::token_loss(path, &hidden, &head, &[target], &[1.0], None, Gradients::None).unwrap()
        };
        let left = (vocabulary - 1) as f32;
        let possible = loss(0);
        assert!((possible.entropy[0] - left.ln()).abs() < 1e-5);
        assert!((possible.log_prob[0] + left.ln()).abs() < 1e-5);
        assert_eq!(loss(1).log_prob[0], f32::NEG_INFINITY);
    }
}
