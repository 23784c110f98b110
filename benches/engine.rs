//! Training steps, scoring and sampling at two sizes: `cargo bench --bench engine`.

mod cases;

use candle_core::Device;
use cases::{Case, Size};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unforget::model::{Decoder, ModelConfig};

// The program's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Each case of one model, as tokens in a second.
fn model(criterion: &mut Criterion, name: &str, config: &ModelConfig, size: &Size) {
    cases::set_candle_aside();
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    for (name, case) in Case::ALL {
        group.throughput(Throughput::Elements(size.tokens(case) as u64));
        let decoder = Decoder::random(config, 0, &Device::Cpu).expect("a random model can be made");
        let timed = cases::set_up(case, decoder, size, |run| {
            group.bench_function(name, |bencher| bencher.iter(|| run().expect("the case runs")));
        });
        timed.expect("the case can be set up");
    }
    group.finish();
}

fn lab_model(criterion: &mut Criterion) {
    let size =
        Size { batch: 16, length: 110, prompts: 1, samples: 32, new_tokens: 64, replay: false };
    model(criterion, "lab_model", &cases::lab(), &size);
}

fn thirty_million(criterion: &mut Criterion) {
    let size =
        Size { batch: 4, length: 128, prompts: 1, samples: 32, new_tokens: 64, replay: false };
    model(criterion, "thirty_million", &cases::thirty_million(), &size);
}

criterion_group!(benches, lab_model, thirty_million);
criterion_main!(benches);
