//! Training steps, scoring and sampling at two sizes: `cargo bench --bench engine`.

mod cases;

use candle_core::Device;
use cases::{Case, Size};
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use mimalloc::MiMalloc;
use unforget::model::{Decoder, ModelConfig};

// The program's own allocator, counted.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    cases::set_candle_aside();
    divan::main();
}

fn bench(bencher: Bencher<'_, '_>, config: &ModelConfig, case: Case, size: Size) {
    let decoder = Decoder::random(config, 0, &Device::Cpu).expect("a random model can be made");
    let bencher = bencher.counter(ItemsCount::new(size.tokens(case)));
    let timed = cases::set_up(case, decoder, &size, |run| {
        let run = std::cell::RefCell::new(run);
        bencher.bench_local(|| (run.borrow_mut())().expect("the case runs"));
    });
    timed.expect("the case can be set up");
}

#[divan::bench(args = Case::ALL.map(|(_, case)| case), sample_count = 20, sample_size = 1)]
fn lab_model(bencher: Bencher<'_, '_>, case: Case) {
    let size = Size { batch: 16, length: 110, samples: 32, new_tokens: 64, replay: false };
    bench(bencher, &cases::lab(), case, size);
}

#[divan::bench(args = Case::ALL.map(|(_, case)| case), sample_count = 5, sample_size = 1)]
fn thirty_million(bencher: Bencher<'_, '_>, case: Case) {
    let size = Size { batch: 4, length: 128, samples: 32, new_tokens: 64, replay: false };
    bench(bencher, &cases::thirty_million(), case, size);
}
