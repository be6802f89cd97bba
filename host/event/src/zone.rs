//! The time zone in which dates are written: a parameter, like the clock.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time zone. Upstream writes dates in its process's.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Zone(TimeZone::UTC)
    }

    /// The process's: `TZ`, else the machine's. An unknown one is UTC, as in Go.
    pub fn system() -> Self {
        Zone(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// The zone of that name in the IANA database (`Asia/Tokyo`), if there is one.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// Its name in the database; the empty text when it has none.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// Unix seconds as RFC 3339 in this zone, as Go writes them: `2021-04-09T21:15:47+09:00`, `Z` for an offset of 0.
    pub fn rfc3339(&self, seconds: i64) -> String {
        rfc3339(seconds, self)
    }

    /// Seconds to add to UTC at that moment, in Unix seconds. Beyond the years -9999 to 9999: none.
    fn offset(&self, seconds: i64) -> i64 {
        Timestamp::from_second(seconds).map_or(0, |moment| i64::from(self.0.to_offset(moment).seconds()))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

/// A moment's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Of the proleptic Gregorian calendar; 0 is the year before 1.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From 0.
    pub hour: i64,
    /// From 0.
    pub minute: i64,
    /// From 0.
    pub second: i64,
}

impl Civil {
    /// The date of Unix seconds in UTC; Howard Hinnant's `civil_from_days`, since the events' 64 bits reach beyond any library's calendar.
    pub fn utc(seconds: i64) -> Self {
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }

    /// `2021-04-09`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Unix seconds as RFC 3339 in a zone, as Go writes them: `2021-04-09T21:15:47+09:00`, `Z` for an offset of 0.
pub(crate) fn rfc3339(seconds: i64, zone: &Zone) -> String {
    let offset = zone.offset(seconds);
    let local = Civil::utc(seconds.saturating_add(offset));
    let time = format!("{}T{:02}:{:02}:{:02}", local.date(), local.hour, local.minute, local.second);
    if offset == 0 {
        return time + "Z";
    }
    let minutes = offset.abs() / 60;
    format!("{time}{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_the_dates_they_are() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_617_970_547, "2021-04-09T12:15:47Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (9_999_999_999, "2286-11-20T17:46:39Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds, &Zone::utc()), expected);
        }
    }

    #[test]
    fn zones_have_the_offset_of_the_moment() {
        for (zone, seconds, expected) in [
            ("Asia/Tokyo", 1_617_970_547, "2021-04-09T21:15:47+09:00"),
            ("Europe/Berlin", 1_617_970_547, "2021-04-09T14:15:47+02:00"),
            ("Europe/Berlin", 1_607_970_547, "2020-12-14T19:29:07+01:00"),
            ("Europe/London", 1_607_970_547, "2020-12-14T18:29:07Z"),
            ("America/St_Johns", 1_617_970_547, "2021-04-09T09:45:47-02:30"),
            // Before there were zones: Go leaves the seconds of the offset out, too.
            ("Asia/Tokyo", -3_000_000_000, "1874-12-08T03:58:59+09:18"),
        ] {
            assert_eq!(Zone::named(zone).map(|zone| rfc3339(seconds, &zone)).as_deref(), Some(expected), "{zone}");
        }
        assert_eq!(Zone::named("Mars/Olympus"), None);
    }

    #[test]
    fn moments_beyond_every_calendar_are_written_too() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!(rfc3339(seconds, &Zone::named("Asia/Tokyo").unwrap_or_else(Zone::utc)).ends_with('Z'));
        }
    }
}
