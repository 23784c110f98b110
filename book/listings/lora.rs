use unforget::adapter::LoraConfig;
use unforget::error::Result;
use unforget::train::{Finetune, Method};

#[test]
fn the_settings_are_plain_data() -> Result<()> {
    // ANCHOR: settings
    let config = Finetune {
        method: Method::Lora(LoraConfig { rank: 16, alpha: 32.0, ..LoraConfig::paper() }),
        learning_rate: 1e-3,
        epochs: 2,
        ..Finetune::lab()
    };
    config.check()?;
    // ANCHOR_END: settings
    let wrong = Finetune { learning_rate: f64::NAN, ..config };
    assert!(wrong.check().is_err());
    Ok(())
}
