use unforget::adapter::LoraConfig;
use unforget::error::Result;
use unforget::train::{Method, TrainConfig};

#[test]
fn the_settings_are_plain_data() -> Result<()> {
    // ANCHOR: settings
    let config = TrainConfig {
        method: Method::Lora(LoraConfig { rank: 16, alpha: 32.0, ..LoraConfig::paper() }),
        learning_rate: 1e-3,
        num_epochs: 2,
        ..TrainConfig::lab()
    };
    config.check()?;
    // ANCHOR_END: settings
    let wrong = TrainConfig { learning_rate: f64::NAN, ..config };
    assert!(wrong.check().is_err());
    Ok(())
}
