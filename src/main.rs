#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut recipe = unforget::lab::pretrain::Pretraining::default();
    if let Some(steps) = args.get(2) {
        recipe.steps = steps.parse().unwrap();
    }
    let result = recipe.run(std::path::Path::new(&args[1]), |line| eprintln!("{line}"));
    if let Err(error) = result {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
