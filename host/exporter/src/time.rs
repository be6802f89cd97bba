//! Unix seconds as dates, in UTC.

/// A moment's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Civil {
    /// The proleptic Gregorian date of `seconds`; Howard Hinnant's `civil_from_days`.
    pub(crate) fn from_unix(seconds: i64) -> Self {
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
    pub(crate) fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// RFC 3339: `2021-04-09T12:15:47Z`.
    pub(crate) fn rfc3339(&self) -> String {
        format!("{}T{:02}:{:02}:{:02}Z", self.date(), self.hour, self.minute, self.second)
    }
}

/// Unix seconds as RFC 3339, in UTC: `2021-04-09T12:15:47Z`.
pub fn rfc3339(seconds: i64) -> String {
    Civil::from_unix(seconds).rfc3339()
}

#[cfg(test)]
mod tests {
    use super::Civil;

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
            assert_eq!(Civil::from_unix(seconds).rfc3339(), expected);
        }
    }
}
