//! The book's code, a file for each chapter. The chapters show it by anchor; here it is compiled and run with the tests.

mod forgetting;
mod gradient;
mod lora;
mod masking;
mod own_answers;
mod perplexity;
mod readme;
mod sixty_lines;

use unforget::context::Context;
use unforget::error::Result;
use unforget::model::DeviceChoice;
use unforget::progress::Progress;
use unforget::store::Store;

/// A store of its own, so that a listing computes what it shows.
fn context(folder: &std::path::Path) -> Result<Context> {
    Context::new(Store::open(folder)?, DeviceChoice::Cpu, Progress::quiet())
}
