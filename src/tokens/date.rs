//! The date and the time that a chat template writes.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// A date and a time of day without a time zone, as Python's `datetime.now()` gives it to a chat template.
///
/// ```
/// use unforget::tokens::DateTime;
/// let day: DateTime = "2025-01-31".parse()?;
/// assert_eq!(day.strftime("%d %b %Y, %H:%M"), "31 Jan 2025, 00:00");
/// assert!("2025-02-30".parse::<DateTime>().is_err());
/// # Ok::<(), unforget::error::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DateTime {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl DateTime {
    /// The local time at which this process asked first; UTC on systems that are no Unix. It stays the same, so that all texts of one
    /// call have one date.
    pub fn now() -> Self {
        static NOW: OnceLock<DateTime> = OnceLock::new();
        *NOW.get_or_init(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let seconds = since.map_or(0, |since| since.as_secs() as i64);
            local(seconds).unwrap_or_else(|| Self::utc(seconds))
        })
    }

    /// The time in UTC, in seconds since 1970.
    pub fn utc(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // days to a date by Howard Hinnant's civil_from_days
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: second / 3600,
            minute: second % 3600 / 60,
            second: second % 60,
        }
    }

    /// The day alone, as `2025-01-31`.
    pub fn date(&self) -> String {
        self.strftime("%Y-%m-%d")
    }

    /// Days since 1970.
    fn days(&self) -> i64 {
        // Howard Hinnant's days_from_civil
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let shifted = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * shifted + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }

    /// Python's `strftime`, in English; an unknown directive stays as it is. There is no time zone, so `%z` and `%Z` write nothing.
    pub fn strftime(&self, format: &str) -> String {
        // Sunday is 0
        let weekday = (self.days() + 4).rem_euclid(7);
        let of_year = self.days() - Self { month: 1, day: 1, ..*self }.days();
        // the week of ISO 8601 is that of its Thursday
        let thursday = Self::utc((self.days() + 3 - (weekday + 6) % 7) * 86_400);
        let iso_week = (thursday.days() - Self { month: 1, day: 1, ..thursday }.days()) / 7 + 1;
        let (weekday_name, month_name) =
            (DAYS[weekday as usize], MONTHS[(self.month - 1) as usize]);
        let mut text = String::new();
        let mut characters = format.chars().peekable();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            let flag = characters.next_if(|next| "-_0^".contains(*next));
            let number = |value: i64, width: usize, fill: char| match flag.unwrap_or(fill) {
                '-' => value.to_string(),
                '_' | ' ' => format!("{value:width$}"),
                _ => format!("{value:0width$}"),
            };
            let hour_of_12 = (self.hour + 11) % 12 + 1;
            let part = match characters.next() {
                Some('Y') => number(self.year, 1, '0'),
                Some('C') => number(self.year / 100, 2, '0'),
                Some('y') => number(self.year % 100, 2, '0'),
                Some('G') => number(thursday.year, 1, '0'),
                Some('g') => number(thursday.year % 100, 2, '0'),
                Some('m') => number(self.month, 2, '0'),
                Some('d') => number(self.day, 2, '0'),
                Some('e') => number(self.day, 2, ' '),
                Some('H') => number(self.hour, 2, '0'),
                Some('k') => number(self.hour, 2, ' '),
                Some('I') => number(hour_of_12, 2, '0'),
                Some('l') => number(hour_of_12, 2, ' '),
                Some('M') => number(self.minute, 2, '0'),
                Some('S') => number(self.second, 2, '0'),
                Some('f') => "000000".into(),
                Some('j') => number(of_year + 1, 3, '0'),
                Some('U') => number((of_year + 7 - weekday) / 7, 2, '0'),
                Some('W') => number((of_year + 7 - (weekday + 6) % 7) / 7, 2, '0'),
                Some('V') => number(iso_week, 2, '0'),
                Some('u') => ((weekday + 6) % 7 + 1).to_string(),
                Some('w') => weekday.to_string(),
                Some('p') => if self.hour < 12 { "AM" } else { "PM" }.into(),
                Some('P') => if self.hour < 12 { "am" } else { "pm" }.into(),
                Some('B') => month_name.into(),
                Some('b' | 'h') => month_name[..3].into(),
                Some('A') => weekday_name.into(),
                Some('a') => weekday_name[..3].into(),
                Some('D' | 'x') => self.strftime("%m/%d/%y"),
                Some('F') => self.strftime("%Y-%m-%d"),
                Some('R') => self.strftime("%H:%M"),
                Some('T' | 'X') => self.strftime("%H:%M:%S"),
                Some('r') => self.strftime("%I:%M:%S %p"),
                Some('c') => self.strftime("%a %b %e %H:%M:%S %Y"),
                Some('z' | 'Z') => String::new(),
                Some('n') => "\n".into(),
                Some('t') => "\t".into(),
                Some('%') => "%".into(),
                other => ['%'].into_iter().chain(flag).chain(other).collect(),
            };
            match flag {
                Some('^') => text.push_str(&part.to_uppercase()),
                _ => text.push_str(&part),
            }
        }
        text
    }

    /// Whether a format writes nothing finer than the day.
    pub(super) fn is_of_day(format: &str) -> bool {
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character == '%' {
                let directive = characters.find(|next| !"-_0^".contains(*next));
                if directive.is_none_or(|of| !"YCyGgmdejUWVuwBbhAaDxFzZnt%".contains(of)) {
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(unix)]
fn local(seconds: i64) -> Option<DateTime> {
    let seconds = libc::time_t::try_from(seconds).ok()?;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to values of this function, and the C library fills in all fields or returns null.
    let parts = unsafe {
        if libc::localtime_r(&seconds, parts.as_mut_ptr()).is_null() {
            return None;
        }
        parts.assume_init()
    };
    Some(DateTime {
        year: i64::from(parts.tm_year) + 1900,
        month: i64::from(parts.tm_mon) + 1,
        day: i64::from(parts.tm_mday),
        hour: i64::from(parts.tm_hour),
        minute: i64::from(parts.tm_min),
        second: i64::from(parts.tm_sec),
    })
}

#[cfg(not(unix))]
fn local(_seconds: i64) -> Option<DateTime> {
    None
}

impl fmt::Display for DateTime {
    /// As it is read: the day alone at midnight.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = match (self.hour, self.minute, self.second) {
            (0, 0, 0) => "%Y-%m-%d",
            _ => "%Y-%m-%dT%H:%M:%S",
        };
        f.write_str(&self.strftime(time))
    }
}

impl FromStr for DateTime {
    type Err = Error;

    /// Reads `2025-01-31`, `2025-01-31T14:05` or `2025-01-31T14:05:09`; a blank may stand for the `T`.
    fn from_str(text: &str) -> Result<Self> {
        let numbers = |text: &str, between: char, widths: &[usize]| -> Option<Vec<i64>> {
            let parts: Vec<&str> = text.split(between).collect();
            let fits = parts.len() == widths.len()
                && parts.iter().zip(widths).all(|(part, width)| {
                    part.len() == *width && part.bytes().all(|byte| byte.is_ascii_digit())
                });
            fits.then(|| parts.iter().map(|part| part.parse().ok()).collect()).flatten()
        };
        let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let day = numbers(day, '-', &[4, 2, 2]);
        let time = numbers(time, ':', &[2, 2]).or_else(|| numbers(time, ':', &[2, 2, 2]));
        let found = match (day.as_deref(), time.as_deref()) {
            (Some(&[year, month, day]), Some(&[hour, minute, ref second @ ..])) => {
                let second = second.first().copied().unwrap_or(0);
                Some(Self { year, month, day, hour, minute, second })
            }
            _ => None,
        };
        // a day that the calendar does not have comes back as another
        let real = found.filter(|found| {
            (1..=12).contains(&found.month)
                && found.year > 0
                && (found.hour < 24 && found.minute < 60 && found.second < 60)
                && Self::utc(found.days() * 86_400).date() == found.date()
        });
        real.ok_or_else(|| {
            let problem = format!(
                "`{text}` is no date; write it as 2025-01-31, with a time of day as 2025-01-31T14:05"
            );
            Error::invalid("date of the chat template", problem)
        })
    }
}

impl TryFrom<String> for DateTime {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DateTime> for String {
    fn from(date: DateTime) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_python() {
        // TZ=UTC python3 -c 'import datetime as d; print(d.datetime.fromisoformat(T).strftime(F))', Python 3.11 with glibc
        let check = |time: &str, format: &str, expected: &str| {
            assert_eq!(time.parse::<DateTime>().unwrap().strftime(format), expected, "{time}");
        };
        check("2024-02-29T12:34:56", "%d %b %Y", "29 Feb 2024");
        check(
            "2024-02-29 12:34:56",
            "%A, %B %-d, %y %H:%M:%S %I %p %j %%",
            "Thursday, February 29, 24 12:34:56 12 PM 060 %",
        );
        check(
            "2024-03-05T07:08",
            "%e|%k|%l|%P|%D|%F|%R|%T|%r|%c|%x|%X|%h|%C|%f|%z%Z|%n|%t",
            " 5| 7| 7|am|03/05/24|2024-03-05|07:08|07:08:00|07:08:00 AM|Tue Mar  5 07:08:00 2024|03/05/24|07:08:00|Mar|20|000000||\n|\t",
        );
        check("2024-03-05", "%-m/%_d/%^a/%^B", "3/ 5/TUE/MARCH");
        check("2023-01-01", "%u %w %U %W %V %G %g %j", "7 0 01 00 52 2022 22 001");
        check("2024-12-30", "%u %w %U %W %V %G %g %j", "1 1 52 53 01 2025 25 365");
        check("2025-06-18", "%u %w %U %W %V %G %g %j", "3 3 24 24 25 2025 25 169");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "today",
            "2025-1-31",
            "31.01.2025",
            "2025-02-30",
            "2025-13-01",
            "2025-00-10",
            "2025-01-31T24:00",
            "2025-01-31T1:00",
            "2025-01-31Z",
            "2025-01-31T10:00Z",
            "0000-01-01",
        ] {
            let message = text.parse::<DateTime>().unwrap_err().to_string();
            assert!(message.contains("2025-01-31T14:05"), "{text}: {message}");
        }
        for text in ["2025-01-31", "2024-02-29T23:59:59"] {
            let date: DateTime = text.parse().unwrap();
            assert_eq!(date.to_string(), text);
            let json = serde_json::to_string(&date).unwrap();
            assert_eq!(serde_json::from_str::<DateTime>(&json).unwrap(), date);
        }
    }

    #[test]
    fn formats_of_the_day_and_of_the_time_are_told_apart() {
        for format in ["%d %b %Y", "%Y-%m-%d", "%-d. %B", "", "%%", "%A"] {
            assert!(DateTime::is_of_day(format), "{format}");
        }
        for format in ["%H:%M", "%c", "%Y-%m-%d %I %p", "%s", "%"] {
            assert!(!DateTime::is_of_day(format), "{format}");
        }
    }
}
