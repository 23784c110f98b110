//! Which language a text is in.
//!
//! The published checks use langdetect, which draws random numbers and so may say two things of one short text. This is a port of
//! it with the same profiles of 55 languages (and one more, Uzbek, so that a text may be Uzbek here and another language there), and
//! a fixed seed.

use langdetect_rs::detector_factory::DetectorFactory;
use std::sync::OnceLock;

/// The ISO 639-1 code of the language of `text`; `None` where there is nothing to tell it by.
pub(super) fn of(text: &str) -> Option<String> {
    // constant tables, read once
    static PROFILES: OnceLock<DetectorFactory> = OnceLock::new();
    let profiles = PROFILES.get_or_init(|| DetectorFactory::default().with_seed(Some(0)).build());
    profiles.detect(text, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_of_the_benchmark_are_told_apart() {
        let cases = [
            ("This is a sentence in plain English, and here is another one.", "en"),
            ("Dies ist ein deutscher Satz, und hier steht noch einer.", "de"),
            ("Hii ni sentensi ya Kiswahili kuhusu watoto na shule yao.", "sw"),
            ("यह हिंदी में लिखा गया एक वाक्य है।", "hi"),
            ("یہ اردو میں لکھا ہوا ایک جملہ ہے۔", "ur"),
            ("이것은 한국어로 쓰인 문장입니다.", "ko"),
            ("Đây là một câu tiếng Việt.", "vi"),
        ];
        for (text, code) in cases {
            assert_eq!(of(text).as_deref(), Some(code), "{text}");
        }
        assert_eq!(of("12345 !!!"), None);
    }
}
